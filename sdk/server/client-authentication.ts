import { base64url, randomText } from '../shared/base64url.ts'
import type { Runtime } from './http.ts'

/** A private key as a JWK (RFC 7517), with the `kid` under which the app registered the public key. */
export interface PrivateJwk extends JsonWebKey {
  kid?: string
}

/** How the app authenticates: with its secret, or with a key (`private_key_jwt`). */
export type Credentials =
  | { clientSecret: string; privateKey?: never; keyId?: never }
  | {
      /** An Ed25519, P-256 or RSA key of at least 2,048 bits. */
      privateKey: PrivateJwk | CryptoKey
      /** `kid` of a `CryptoKey`. */
      keyId?: string
      clientSecret?: never
    }

/** The form fields that authenticate the app. Each assertion is new. */
export type Authenticate = () => Promise<Record<string, string>>

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const ASSERTION_LIFETIME_SECONDS = 60

/** @param issuer the broker's public URL, the only audience that it accepts */
export function createAuthentication(
  issuer: string,
  clientId: string,
  { clientSecret, privateKey, keyId }: Credentials,
  now: Runtime['now'],
): Authenticate {
  if (clientSecret !== undefined)
    return async () => ({ client_id: clientId, client_secret: clientSecret })
  let signer: Promise<Signer> | undefined
  return async () => {
    signer ??= createSigner(privateKey, keyId)
    const sign = await signer
    const iat = Math.floor(now() / 1000)
    const claims = { iss: clientId, sub: clientId, aud: issuer, jti: randomText() }
    const assertion = await sign({ ...claims, iat, exp: iat + ASSERTION_LIFETIME_SECONDS })
    return {
      client_id: clientId,
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: assertion,
    }
  }
}

/** Signs claims as a compact JWT (RFC 7515 7.1). */
type Signer = (claims: Record<string, unknown>) => Promise<string>

async function createSigner(given: PrivateJwk | CryptoKey, keyId?: string): Promise<Signer> {
  const key = given instanceof CryptoKey ? given : await importKey(given)
  const kid = given instanceof CryptoKey ? keyId : (given.kid ?? keyId)
  const alg = algorithmOf(key)
  const header = { alg, typ: 'JWT', ...(kid !== undefined && { kid }) }
  const parameters = { name: key.algorithm.name, hash: 'SHA-256', saltLength: 32 }
  return async (claims) => {
    const [head = '', payload = ''] = [header, claims].map((part) =>
      base64url(new TextEncoder().encode(JSON.stringify(part))),
    )
    const input = new TextEncoder().encode(`${head}.${payload}`)
    const signature = await crypto.subtle.sign(parameters, key, input)
    return `${head}.${payload}.${base64url(signature)}`
  }
}

/** JWA names (RFC 7518 3.1, RFC 8037) of WebCrypto's algorithms. */
const NAMES: Record<string, string> = {
  Ed25519: 'EdDSA',
  ECDSA: 'ES256',
  'RSASSA-PKCS1-v1_5': 'RS256',
  'RSA-PSS': 'PS256',
}

function algorithmOf({ algorithm }: CryptoKey): string {
  const name = NAMES[algorithm.name]
  if (name === undefined) throw unsupported(algorithm.name)
  return name
}

function importKey({ key_ops: _, ...jwk }: PrivateJwk): Promise<CryptoKey> {
  const kind = jwk.kty === 'RSA' ? `RSA ${jwk.alg === 'PS256' ? 'PS256' : 'RS256'}` : jwk.crv
  const parameters = IMPORTED[kind ?? '']
  if (!parameters) throw unsupported(kind)
  return crypto.subtle.importKey('jwk', jwk, parameters, false, ['sign'])
}

const IMPORTED: Record<string, EcKeyImportParams | RsaHashedImportParams | Algorithm> = {
  Ed25519: { name: 'Ed25519' },
  'P-256': { name: 'ECDSA', namedCurve: 'P-256' },
  'RSA RS256': { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  'RSA PS256': { name: 'RSA-PSS', hash: 'SHA-256' },
}

const unsupported = (kind = 'of an unknown kind') =>
  new TypeError(`A key ${kind} cannot sign; use an Ed25519, P-256 or RSA key.`)
