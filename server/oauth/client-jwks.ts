import { createPublicKey } from 'node:crypto'
import type { JSONWebKeySet, JWK } from 'jose'

/** The public keys of an app that authenticates with `private_key_jwt` (RFC 7523 2.2). */

export const MAX_JWKS_BYTES = 65_536
const MAX_KEYS = 20
const MIN_RSA_BITS = 2048
/** Members of a JWK that only a private or symmetric key has (RFC 7518 6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** Why the key cannot verify assertions; `null`: it can. */
function keyProblem(jwk: JWK): string | null {
  if (PRIVATE_MEMBERS.some((name) => name in jwk))
    return 'is a private or symmetric key; register public keys only'
  if (jwk.use !== undefined && jwk.use !== 'sig') return 'is not for signatures (use)'
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
    if (key.asymmetricKeyType === 'ed25519') return null
    if (key.asymmetricKeyType === 'ec')
      return namedCurve === 'prime256v1' ? null : 'is on another curve than P-256'
    if (key.asymmetricKeyType === 'rsa')
      return modulusLength >= MIN_RSA_BITS ? null : `has fewer than ${MIN_RSA_BITS} bits`
  } catch {
    // Its message may quote the key.
  }
  return 'is not an Ed25519, P-256 or RSA key'
}

/** The keys of a JWK Set (RFC 7517 5); `null`: the text is not one. */
function parseKeys(text: string): JWK[] | null {
  if (Buffer.byteLength(text) > MAX_JWKS_BYTES) return null
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown }
    const isList = Array.isArray(keys) && keys.every((key) => typeof key === 'object' && key)
    return isList ? (keys as JWK[]) : null
  } catch {
    return null
  }
}

/** What is wrong with a JWK Set that is being registered; `null`: nothing. */
export function jwksProblem(text: string): string | null {
  const keys = parseKeys(text)
  if (!keys) return 'The keys are not a JWK Set of at most 64 KiB: {"keys": [{"kty": …}]}.'
  if (keys.length === 0 || keys.length > MAX_KEYS) return `Give 1 to ${MAX_KEYS} keys.`
  for (const [index, key] of keys.entries()) {
    const problem = keyProblem(key)
    if (problem !== null) return `Key ${index + 1} of the JWK Set ${problem}.`
  }
  return null
}

/**
 * The keys of a JWK Set that can verify assertions. Others are left out: a published set may also have keys for
 * encryption.
 * @throws Error if it is not a JWK Set
 */
export function readJwks(text: string): JSONWebKeySet {
  const keys = parseKeys(text)
  if (!keys) throw new Error('this is not a JWK Set')
  return { keys: keys.filter((key) => keyProblem(key) === null).slice(0, MAX_KEYS) }
}

/** What is wrong with the URL of a JWK Set; `null`: nothing. */
export function jwksUriProblem(uri: string): string | null {
  const url = URL.parse(uri)
  if (!url || uri.length > 2000 || url.username || url.password || url.hash)
    return 'The jwks_uri is not a URL without user, password and fragment.'
  const isLocal =
    url.protocol === 'http:' && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname)
  return url.protocol === 'https:' || isLocal ? null : 'The jwks_uri must begin with https://.'
}
