import { SignJWT, jwtVerify, errors } from 'jose'
import type { JWTVerifyOptions } from 'jose'
import { LRUCache } from 'lru-cache'
import type { Grant } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import type { SigningKeys } from '../crypto/signing-keys.ts'

/** What a verified broker token says. */
export interface Claims {
  /** Connection id. */
  sub: string
  clientId: string
  grantId: string
  jti: string
  kid: string
  /** Seconds since the epoch. */
  iat: number
  /** Seconds since the epoch. */
  exp: number
}

/** The JWT that the broker signs for a grant (RFC 9068's form); worth nothing at Ellipsis Drive. */
export interface BrokerTokens {
  /** Signs the grant's current token; the same grant gives the same token while the key is the same. */
  sign(grant: Signable): Promise<string>
  /**
   * Checks form, signature, issuer, audience and expiry; whether it still counts, the store knows.
   * @throws BrokerError `token_refused`
   */
  verify(token: string, options?: { expired?: 'accepted' }): Promise<Claims>
}

/** What of a grant goes into its token. */
export type Signable = Pick<
  Grant,
  'id' | 'appId' | 'connectionId' | 'scope' | 'jti' | 'jkt' | 'issuedAtSeconds' | 'expiresAtSeconds'
>

/** Longer ones aren't ours: a broker token has some 600 characters. */
const MAX_LENGTH = 4096

/** Remembered verifications and signatures: their tokens take some 10 MB at most. */
const REMEMBERED = 10_000

export function createBrokerTokens(needs: {
  keys: SigningKeys
  clock: Clock
  publicUrl: string
  /** Public URLs that this broker had before: tokens with their `iss` stay good. */
  formerUrls: string[]
}): BrokerTokens {
  const { keys, clock, publicUrl, formerUrls } = needs
  const verified = new LRUCache<string, Claims>({ max: REMEMBERED })
  const signed = new LRUCache<string, string>({ max: REMEMBERED })
  const urls = [publicUrl, ...formerUrls]

  const verifyFirst = async (token: string): Promise<Claims> => {
    if (token.length > MAX_LENGTH) throw new BrokerError('token_refused')
    const options: JWTVerifyOptions = {
      algorithms: ['EdDSA'],
      typ: 'at+jwt',
      issuer: urls,
      audience: urls,
      requiredClaims: ['sub', 'client_id', 'grant_id', 'jti', 'iat', 'exp'],
      // Time is checked below: revocation takes an expired token too (RFC 7009).
      clockTolerance: Number.MAX_SAFE_INTEGER,
    }
    const { payload, protectedHeader } = await jwtVerify(
      token,
      async ({ kid }) => {
        const key = typeof kid === 'string' ? await keys.find(kid) : undefined
        return key ?? Promise.reject(new errors.JWKSNoMatchingKey())
      },
      options,
    )
    const { sub, client_id: clientId, grant_id: grantId, jti, iat, exp, nbf = 0 } = payload
    if (typeof clientId !== 'string' || typeof grantId !== 'string' || nbf * 1000 > clock.now()) {
      throw new BrokerError('token_refused')
    }
    const numbers = { iat: iat as number, exp: exp as number }
    const strings = { sub: sub as string, jti: jti as string, kid: protectedHeader.kid as string }
    return { ...strings, ...numbers, clientId, grantId }
  }

  return {
    async sign(grant) {
      const { kid, key } = await keys.current()
      const name = `${kid}.${grant.jti}`
      const before = signed.get(name)
      if (before !== undefined) return before
      await keys.noteToken(kid, grant.expiresAtSeconds)
      const token = await new SignJWT({
        client_id: grant.appId,
        grant_id: grant.id,
        scope: grant.scope,
        ...(grant.jkt !== null && { cnf: { jkt: grant.jkt } }),
      })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
        .setIssuer(publicUrl)
        .setAudience(publicUrl)
        .setSubject(grant.connectionId)
        .setIssuedAt(grant.issuedAtSeconds)
        .setExpirationTime(grant.expiresAtSeconds)
        .setJti(grant.jti)
        .sign(key)
      signed.set(name, token)
      return token
    },

    async verify(token, { expired } = {}) {
      let claims = verified.get(token)
      if (claims === undefined) {
        claims = await verifyFirst(token).catch((cause: unknown) => {
          // Anything else, such as a store that can't be read, says nothing about the token.
          if (!(cause instanceof errors.JOSEError)) throw cause
          throw new BrokerError('token_refused', { cause })
        })
        verified.set(token, claims)
      }
      if (expired !== 'accepted' && claims.exp * 1000 <= clock.now()) {
        throw new BrokerError('token_refused')
      }
      return claims
    },
  }
}
