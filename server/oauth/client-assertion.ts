import { decodeJwt, errors, jwtVerify } from 'jose'
import type { JWTPayload } from 'jose'
import type { App, Store } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import type { ClientKeys, KeySet } from './client-keys.ts'

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** Accepted signature algorithms of a client assertion. */
export const ASSERTION_ALGORITHMS = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256']

const MAX_LENGTH_CHARS = 8192
const MAX_JTI_LENGTH_CHARS = 512
/** Accepted difference of the client's clock. */
const MAX_CLOCK_SKEW_SECONDS = 60
/** Longest life of an assertion. Libraries use a minute to an hour. */
const MAX_LIFETIME_SECONDS = 3600
const TYPES = [undefined, 'jwt', 'client-authentication+jwt']

/** Client authentication with a signed JWT, `private_key_jwt` (RFC 7523 2.2, 3; OpenID Connect Core 9). */
export interface ClientAssertions {
  /**
   * Checks the assertion and uses it up. Each works once, in all processes of the store.
   * @throws BrokerError `invalid_client`; `temporarily_unavailable` if the app's keys cannot be fetched
   */
  use(app: App, assertion: Secret): Promise<void>
}

export function createClientAssertions(deps: {
  store: Pick<Store, 'useProof'>
  keys: ClientKeys
  clock: Clock
  /** The issuer, which the assertion must be for. */
  publicUrl: string
}): ClientAssertions {
  const { store, keys, clock, publicUrl } = deps

  const verify = async (assertion: Secret, keySet: KeySet, id: string): Promise<JWTPayload> => {
    const { payload, protectedHeader } = await verifyWithAny(assertion.reveal(), keySet, {
      algorithms: ASSERTION_ALGORITHMS,
      currentDate: new Date(clock.now()),
      clockTolerance: MAX_CLOCK_SKEW_SECONDS,
    })
    if (!TYPES.includes(protectedHeader.typ?.toLowerCase().replace(/^application\//, '')))
      throw refused('client_assertion_malformed', 'typ of the client_assertion is not JWT.')
    if (payload.iss !== id || payload.sub !== id) {
      throw refused('client_assertion_foreign', 'iss and sub must both be the client_id.')
    }
    return payload
  }

  /** Keys may have been replaced since they were fetched, also under the same `kid`. */
  const verifyWithKeysOf = async (app: App, assertion: Secret): Promise<JWTPayload> => {
    const known = await keys.get(app)
    if (!known) throw refused('client_has_no_keys', 'This app has no registered keys.')
    try {
      return await verify(assertion, known, app.id)
    } catch (error) {
      const newer = isOfAnotherKey(error) ? await keys.get(app, true) : null
      if (!newer) throw error
      return verify(assertion, newer, app.id)
    }
  }

  const checkAudience = ({ aud }: JWTPayload): void => {
    const [audience, ...others] = [aud].flat()
    // A single one, the issuer: an assertion that another server may accept too could be replayed from there.
    if (audience === publicUrl && others.length === 0) return
    const description = `aud must be the issuer, and nothing else: "${publicUrl}".`
    throw refused('client_assertion_audience', description)
  }

  const checkTime = ({ exp = 0, iat }: JWTPayload): void => {
    const now = clock.now() / 1000
    const isFuture = iat !== undefined && iat > now + MAX_CLOCK_SKEW_SECONDS
    if (isFuture) throw refused('client_assertion_early', 'iat is in the future.')
    if (exp <= now + MAX_LIFETIME_SECONDS + MAX_CLOCK_SKEW_SECONDS) return
    throw refused('client_assertion_too_long', 'exp must be within an hour.')
  }

  return {
    async use(app, assertion) {
      if (assertion.reveal().length > MAX_LENGTH_CHARS) throw malformed()
      const claims = await verifyWithKeysOf(app, assertion).catch((error: unknown) => {
        throw explain(error)
      })
      checkAudience(claims)
      checkTime(claims)
      const { jti, exp = 0 } = claims
      if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH_CHARS)
        throw refused('client_assertion_jti', 'Give each client_assertion a new jti.')
      const proofHash = sha256(`client_assertion ${app.id} ${jti}`)
      const expiresAt = (Math.ceil(exp) + MAX_CLOCK_SKEW_SECONDS) * 1000
      if (await store.useProof({ proofHash, expiresAt })) return
      const description = 'This client_assertion was used before; make a new one for each request.'
      throw refused('client_assertion_reused', description)
    },
  }
}

/** The client that an assertion names, unchecked (RFC 7521 4.2); `null`: none. */
export function claimedSubject(assertion: Secret): string | null {
  try {
    const { sub } = decodeJwt(assertion.reveal())
    return typeof sub === 'string' ? sub : null
  } catch {
    return null
  }
}

/** Without a `kid`, several keys may fit: one of them must verify. */
async function verifyWithAny(
  assertion: string,
  keySet: KeySet,
  options: Parameters<typeof jwtVerify>[2] & object,
) {
  const required = { ...options, requiredClaims: ['iss', 'sub', 'aud', 'exp', 'jti'] }
  try {
    return await jwtVerify(assertion, keySet, required)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    for await (const key of error) {
      const verified = await jwtVerify(assertion, key, required).catch((problem: unknown) => {
        if (isOfAnotherKey(problem)) return null
        throw problem
      })
      if (verified) return verified
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

const isOfAnotherKey = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWSSignatureVerificationFailed

/** @param reason for the log */
const refused = (reason: string, description: string, cause?: unknown): BrokerError =>
  new BrokerError('invalid_client', { reason, description, cause })

const malformed = (cause?: unknown): BrokerError =>
  refused('client_assertion_malformed', 'The client_assertion is not a JWT as expected.', cause)

/** The error of the library, as the client's developer needs it. */
function explain(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  if (error instanceof errors.JWTExpired)
    return refused('client_assertion_expired', 'The client_assertion has expired.')
  if (error instanceof errors.JWKSNoMatchingKey)
    return refused('client_key_unknown', 'No key of this app fits kid and alg of the assertion.')
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return refused('client_assertion_signature', 'The signature is not of a key of this app.')
  if (error instanceof errors.JOSEAlgNotAllowed)
    return refused('client_assertion_alg', `Sign with one of ${ASSERTION_ALGORITHMS.join(', ')}.`)
  if (error instanceof errors.JWTClaimValidationFailed) {
    const description = `The claim ${error.claim} of the client_assertion is missing or wrong.`
    return refused('client_assertion_claim', description)
  }
  return malformed(error)
}
