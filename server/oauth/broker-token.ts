import { SignJWT, decodeJwt, errors, jwtVerify } from 'jose'
import type { JWTVerifyOptions } from 'jose'
import { LRUCache } from 'lru-cache'
import type { Grant } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { isCanonicalJwt } from '../crypto/base64url.ts'
import type { SigningKeys } from '../crypto/signing-keys.ts'

/** The claims of a verified broker token. */
export interface Claims {
  /** Connection id. */
  sub: string
  clientId: string
  grantId: string
  /** The account's subject; `undefined` in tokens of older versions. */
  accountSub: string | undefined
  jti: string
  kid: string
  /** Seconds since the epoch. */
  iat: number
  /** Seconds since the epoch. */
  exp: number
}

/** The JWTs that the broker signs for grants (in the form of RFC 9068); worthless at Ellipsis Drive. */
export interface BrokerTokens {
  /** Signs the grant's current token. Returns the same token while grant and key are unchanged. */
  sign(grant: TokenGrant): Promise<string>
  /**
   * Checks form, signature, issuer, audience and expiry. Does not check revocation, which is in the store.
   * @throws BrokerError `token_refused`
   */
  verify(token: string, options?: { expired?: 'accepted' }): Promise<Claims>
  /** Does the token claim to be of this broker? Checks nothing else. */
  isOwn(token: string): boolean
}

/** The part of a grant that goes into its token. */
type TokenGrant = Pick<
  Grant,
  'id' | 'appId' | 'connectionId' | 'scope' | 'jti' | 'jkt' | 'issuedAtSeconds' | 'expiresAtSeconds'
>

/** A broker token has about 600 characters. */
const MAX_TOKEN_LENGTH_CHARS = 4096

/** Cached verifications, and cached signatures; the tokens take about 10 MB at most. */
const CACHE_LIMIT_TOKENS = 10_000

export function createBrokerTokens(deps: {
  keys: SigningKeys
  clock: Clock
  publicUrl: string
  /** Former public URLs of this broker: tokens with these as `iss` stay valid. */
  formerUrls: string[]
  /** The subject of a connection's account: see `SubjectOf`. `undefined`: there is no such connection. */
  accountSubject: (connectionId: string) => Promise<string | undefined>
}): BrokerTokens {
  const { keys, clock, publicUrl, formerUrls, accountSubject } = deps
  const verified = new LRUCache<string, Claims>({ max: CACHE_LIMIT_TOKENS })
  const signed = new LRUCache<string, string>({ max: CACHE_LIMIT_TOKENS })
  const urls = [publicUrl, ...formerUrls]

  const verifySignature = async (token: string): Promise<Claims> => {
    if (token.length > MAX_TOKEN_LENGTH_CHARS) throw tokenRefused('token_too_long')
    if (!isCanonicalJwt(token)) throw tokenRefused('token_malformed')
    const options: JWTVerifyOptions = {
      algorithms: ['EdDSA'],
      typ: 'at+jwt',
      issuer: urls,
      audience: urls,
      requiredClaims: ['sub', 'client_id', 'grant_id', 'jti', 'iat', 'exp'],
      // Expiry is checked below, because revocation accepts expired tokens (RFC 7009).
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
    const { account_sub: accountSub } = payload
    if (typeof clientId !== 'string' || typeof grantId !== 'string' || nbf * 1000 > clock.now()) {
      throw tokenRefused('token_malformed')
    }
    return {
      sub: sub as string,
      clientId,
      grantId,
      accountSub: typeof accountSub === 'string' ? accountSub : undefined,
      jti: jti as string,
      kid: protectedHeader.kid as string,
      iat: iat as number,
      exp: exp as number,
    }
  }

  return {
    async sign(grant) {
      const { kid, key } = await keys.current('EdDSA')
      const cacheKey = `${kid}.${grant.jti}.${grant.expiresAtSeconds}`
      const cached = signed.get(cacheKey)
      if (cached !== undefined) return cached
      await keys.noteToken(kid, grant.expiresAtSeconds)
      const account = await accountSubject(grant.connectionId)
      const token = await new SignJWT({
        client_id: grant.appId,
        grant_id: grant.id,
        scope: grant.scope,
        ...(account !== undefined && { account_sub: account }),
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
      signed.set(cacheKey, token)
      return token
    },

    isOwn(token) {
      try {
        return urls.includes(decodeJwt(token).iss ?? '')
      } catch {
        return false
      }
    },

    async verify(token, { expired } = {}) {
      let claims = verified.get(token)
      if (claims === undefined) {
        claims = await verifySignature(token).catch((cause: unknown) => {
          // Other errors, such as an unreadable store, say nothing about the token.
          if (!(cause instanceof errors.JOSEError)) throw cause
          throw tokenRefused(JOSE_REASONS[cause.code] ?? 'token_malformed', cause)
        })
        verified.set(token, claims)
      }
      if (expired !== 'accepted' && claims.exp * 1000 <= clock.now()) {
        throw tokenRefused('token_expired')
      }
      return claims
    },
  }
}

/** Why a token is refused, for the log, by the code of the library's error. */
const JOSE_REASONS: Record<string, string> = {
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'token_signature_wrong',
  ERR_JWKS_NO_MATCHING_KEY: 'signing_key_unknown',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'token_claims_wrong',
}

/** @param reason for the log */
export const tokenRefused = (reason: string, cause?: unknown): BrokerError =>
  new BrokerError('token_refused', { reason, cause })
