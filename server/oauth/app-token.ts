import { SignJWT, errors, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import type { App, SigningKey, Store } from '../../db/store.ts'
import { isCanonicalJwt } from '../crypto/base64url.ts'
import type { SigningKeys } from '../crypto/signing-keys.ts'
import { BrokerError } from '../errors.ts'
import type { Clock, Random } from '../runtime.ts'
import { validSecrets } from './apps.ts'

/** The claims of a verified app token. */
export interface AppClaims {
  clientId: string
  kid: string
  /** Seconds since the epoch. */
  iat: number
  /** Seconds since the epoch. */
  exp: number
}

/** An app that an app token is checked against. */
type TokenApp = Pick<App, 'id' | 'confidential' | 'offline' | 'secrets'>

/**
 * The JWTs that offline apps call the app API with (RFC 6749 4.4, in the form of RFC 9068). Their audience is
 * not that of broker tokens, so that neither passes for the other.
 */
export interface AppTokens {
  /** @throws BrokerError `unauthorized_client`: the app is not registered for offline access */
  issue(app: App): Promise<{ token: string; expiresIn: number }>
  /** Checks form, signature, issuer, audience and expiry. @throws BrokerError `token_refused` */
  verify(token: string): Promise<AppClaims>
  /**
   * Checks that the token is still good for its app, as both are now.
   * @param app `null` or `undefined`: it was removed
   * @throws BrokerError `token_refused`
   */
  check(
    claims: AppClaims,
    app: TokenApp | null | undefined,
    keyStatus: SigningKey['status'] | null,
  ): void
  /** The app of a verified token, after the same check. @throws BrokerError `token_refused` */
  authenticate(claims: AppClaims): Promise<App>
}

/** Short, because a token outlives the secret or key that it was issued for. */
export const APP_TOKEN_LIFETIME_SECONDS = 600
export const APP_TOKEN_SCOPE = 'grants'
/** An app token has about 500 characters. */
const MAX_TOKEN_LENGTH_CHARS = 2048
const CACHE_LIMIT_TOKENS = 1000

export function createAppTokens(deps: {
  store: Pick<Store, 'getApp'>
  keys: SigningKeys
  clock: Clock
  random: Random
  publicUrl: string
  /** Former public URLs of this broker. */
  formerUrls: string[]
}): AppTokens {
  const { store, keys, clock, random, publicUrl, formerUrls } = deps
  const verified = new LRUCache<string, AppClaims>({ max: CACHE_LIMIT_TOKENS })
  const issuers = [publicUrl, ...formerUrls]

  const verifySignature = async (token: string): Promise<AppClaims> => {
    if (token.length > MAX_TOKEN_LENGTH_CHARS || !isCanonicalJwt(token)) throw refused('malformed')
    const { payload, protectedHeader } = await jwtVerify(
      token,
      async ({ kid }) => {
        const key = typeof kid === 'string' ? await keys.find(kid) : undefined
        return key ?? Promise.reject(new errors.JWKSNoMatchingKey())
      },
      {
        algorithms: ['EdDSA'],
        typ: 'at+jwt',
        issuer: issuers,
        audience: issuers.map(audienceOf),
        requiredClaims: ['sub', 'client_id', 'jti', 'iat', 'exp'],
        // Expiry is checked below, by the broker's clock.
        clockTolerance: Number.MAX_SAFE_INTEGER,
      },
    )
    const { sub, client_id: clientId, grant_id: grantId, iat, exp } = payload
    if (typeof clientId !== 'string' || sub !== clientId || grantId !== undefined) {
      throw refused('claims_wrong')
    }
    return { clientId, kid: protectedHeader.kid as string, iat: iat as number, exp: exp as number }
  }

  const verify = async (token: string): Promise<AppClaims> => {
    let claims = verified.get(token)
    if (claims === undefined) {
      claims = await verifySignature(token).catch((cause: unknown) => {
        // Other errors, such as an unreadable store, say nothing about the token.
        throw cause instanceof errors.JOSEError ? refused('not_verified', cause) : cause
      })
      verified.set(token, claims)
    }
    if (claims.exp * 1000 <= clock.now()) throw refused('expired')
    return claims
  }

  const check: AppTokens['check'] = ({ clientId, iat }, app, keyStatus) => {
    if (keyStatus === null || keyStatus === 'revoked') throw refused('signing_key_revoked')
    if (app?.id !== clientId) throw refused('app_removed')
    if (!mayUse(app)) throw refused('offline_option_missing')
    // If every secret of the app is newer, it got the token with one that has ended.
    const secrets = validSecrets(app, clock.now())
    const isNewer = ({ createdAt }: App['secrets'][number]) => Math.floor(createdAt / 1000) > iat
    if (secrets.length > 0 && secrets.every(isNewer)) throw refused('secret_ended')
  }

  return {
    async issue(app) {
      if (!mayUse(app)) {
        const description =
          'This app is not registered for offline access; ask the host of this broker.'
        const reason = 'offline_option_missing'
        throw new BrokerError('unauthorized_client', { description, reason })
      }
      const { kid, key } = await keys.current('EdDSA')
      const issuedAt = Math.floor(clock.now() / 1000)
      const expiresAt = issuedAt + APP_TOKEN_LIFETIME_SECONDS
      await keys.noteToken(kid, expiresAt)
      const token = await new SignJWT({ client_id: app.id, scope: APP_TOKEN_SCOPE })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
        .setIssuer(publicUrl)
        .setAudience(audienceOf(publicUrl))
        .setSubject(app.id)
        .setIssuedAt(issuedAt)
        .setExpirationTime(expiresAt)
        .setJti(random(16).toString('base64url'))
        .sign(key)
      return { token, expiresIn: APP_TOKEN_LIFETIME_SECONDS }
    },

    verify,
    check,

    async authenticate(claims) {
      const app = await store.getApp(claims.clientId)
      const key = (await keys.list()).find(({ kid }) => kid === claims.kid)
      check(claims, app, key?.status ?? null)
      return app as App
    },
  }
}

const mayUse = ({ confidential, offline }: TokenApp): boolean => confidential && offline

const audienceOf = (url: string): string => `${url}/v1`

/** @param reason for the log */
const refused = (reason: string, cause?: unknown): BrokerError =>
  new BrokerError('token_refused', {
    description:
      'This app token is not valid (any more). Get one with grant_type=client_credentials.',
    reason: `app_token_${reason}`,
    cause,
  })
