import type { Configuration } from 'openid-client'
import type { JWTVerifyGetKey } from 'jose'
import type { Config } from '../config/config.ts'
import { errorCode } from '../ellipsis/transport.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'

/**
 * The calls to the identity provider of admins (OpenID Connect Core and Discovery). openid-client is loaded on first
 * use, so that no start and no command waits for it.
 */

type Settings = NonNullable<Config['adminOidc']>

const TIMEOUT_SECONDS = 5
/** How long metadata are used before they are read again. */
const METADATA_LIFETIME_MS = 3_600_000
/** A provider that did not answer is not asked again for this long. */
const FAILURE_PAUSE_MS = 5000
/** A logout token is accepted for this long after it was made, whatever its `exp` says. */
const MAX_LOGOUT_TOKEN_AGE_SECONDS = 600
const CLOCK_TOLERANCE_SECONDS = 30
/** With a shared secret (HS256), anyone who has the client secret could sign. */
const SIGNATURE_ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA'],
]
/** OpenID Connect Core 2. */
const MAX_SUBJECT_LENGTH_CHARS = 255
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/**
 * `unreachable`: it can't be reached, or answers something else than the protocol. `denied`: it, or the person,
 * refused. `invalid`: what came back proves nothing.
 */
export class ProviderError extends Error {
  override name = 'ProviderError'
  readonly kind: 'unreachable' | 'denied' | 'invalid'

  constructor(kind: ProviderError['kind'], message: string, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
  }
}

/** What only the browser that began the flow brings back. */
export interface FlowChecks {
  state: Secret
  nonce: string
  /** PKCE (RFC 7636). */
  verifier: Secret
}

export type Claims = Record<string, unknown>

/** Is it a JSON object? */
export const isRecord = (value: unknown): value is Claims =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The sessions that a logout token ends: those of `sid`, or all of `sub`. */
type LogoutNotice = ({ subject: string; sid: string | null } | { subject: null; sid: string }) & {
  jti: string
}

export interface IdentityProvider {
  /**
   * The URL that a browser is sent to.
   * @param options.reauthenticate ask the person again, also if they are signed in there (`prompt`, `max_age`)
   * @throws ProviderError
   */
  authorizationUrl(checks: FlowChecks, options: { reauthenticate: boolean }): Promise<string>
  /**
   * Redeems the code of a callback, and verifies issuer (RFC 9207), state, nonce, audience, signature and times.
   * @param isComplete are these claims enough? If not, those of the userinfo endpoint are added
   * @returns the claims of the ID token
   * @throws ProviderError
   */
  redeem(
    callback: URLSearchParams,
    checks: FlowChecks,
    isComplete: (claims: Claims) => boolean,
  ): Promise<Claims & { sub: string }>
  /** Verifies a logout token (OpenID Connect Back-Channel Logout 1.0, 2.6). @throws ProviderError */
  verifyLogout(token: string): Promise<LogoutNotice>
}

interface Metadata {
  client: Configuration
  /** As the provider writes it. */
  issuer: string
  keys: JWTVerifyGetKey
  readAt: number
}

export function createIdentityProvider({
  settings,
  callbackUrl,
  fetch,
  clock,
}: {
  settings: Settings
  callbackUrl: string
  fetch: typeof globalThis.fetch
  clock: Clock
}): IdentityProvider {
  let known: Metadata | undefined
  let reading: Promise<Metadata> | undefined
  let failed: { at: number; error: ProviderError } | undefined

  const read = async (): Promise<Metadata> => {
    const [oidc, { createRemoteJWKSet, customFetch }] = await Promise.all([
      import('openid-client'),
      import('jose'),
    ])
    const { issuer, clientId, clientSecret } = settings
    const secret = clientSecret.reveal()
    const [post, basic] = [oidc.ClientSecretPost(secret), oidc.ClientSecretBasic(secret)]
    const isInsecure = issuer.startsWith('http:')
    try {
      const client = await oidc.discovery(
        new URL(issuer),
        clientId,
        // RFC 8414 2: basic is the default of servers that say nothing.
        undefined,
        (as, ...rest) =>
          (as.token_endpoint_auth_methods_supported?.includes('client_secret_post') ? post : basic)(
            as,
            ...rest,
          ),
        {
          [oidc.customFetch]: fetch as never,
          timeout: TIMEOUT_SECONDS,
          execute: [
            oidc.enableNonRepudiationChecks,
            ...(isInsecure ? [oidc.allowInsecureRequests] : []),
          ],
        },
      )
      const metadata = client.serverMetadata()
      const keys = createRemoteJWKSet(new URL(metadata.jwks_uri ?? ''), {
        [customFetch]: fetch,
        timeoutDuration: TIMEOUT_SECONDS * 1000,
      })
      return { client, issuer: metadata.issuer, keys, readAt: clock.now() }
    } catch (error) {
      throw new ProviderError('unreachable', `no metadata of ${issuer}: ${describe(error)}`, error)
    }
  }

  const getMetadata = async (): Promise<Metadata> => {
    const now = clock.now()
    if (known && now - known.readAt < METADATA_LIFETIME_MS) return known
    const isPaused = failed !== undefined && now - failed.at < FAILURE_PAUSE_MS
    if (!isPaused) {
      reading ??= read().finally(() => (reading = undefined))
      try {
        known = await reading
        failed = undefined
        return known
      } catch (error) {
        failed = { at: clock.now(), error: error as ProviderError }
      }
    }
    if (known) return known
    throw failed?.error ?? new Error('unreachable')
  }

  return {
    async authorizationUrl({ state, nonce, verifier }, { reauthenticate }) {
      const { client } = await getMetadata()
      const oidc = await import('openid-client')
      const url = oidc.buildAuthorizationUrl(client, {
        redirect_uri: callbackUrl,
        scope: settings.scope,
        state: state.reveal(),
        nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier.reveal()),
        code_challenge_method: 'S256',
        ...(reauthenticate && { prompt: 'login', max_age: '0' }),
      })
      return url.href
    },

    async redeem(callback, { state, nonce, verifier }, isComplete) {
      const { client } = await getMetadata()
      const oidc = await import('openid-client')
      try {
        const tokens = await oidc.authorizationCodeGrant(
          client,
          new URL(`${callbackUrl}?${callback.toString()}`),
          {
            expectedState: state.reveal(),
            expectedNonce: nonce,
            pkceCodeVerifier: verifier.reveal(),
            idTokenExpected: true,
          },
        )
        const claims = tokens.claims()
        if (!claims) throw new ProviderError('invalid', 'no ID token')
        // A provider without a subject for its people would make one person of all.
        if (claims.sub === '' || claims.sub.length > MAX_SUBJECT_LENGTH_CHARS)
          throw new ProviderError('invalid', 'the subject is empty or too long')
        if (isComplete(claims) || client.serverMetadata().userinfo_endpoint === undefined)
          return claims
        const more = await oidc.fetchUserInfo(client, tokens.access_token, claims.sub)
        // What the ID token says is signed.
        return { ...more, ...claims }
      } catch (error) {
        throw error instanceof ProviderError ? error : classify(error)
      }
    },

    async verifyLogout(token) {
      const { issuer, keys } = await getMetadata()
      const { errors, jwtVerify } = await import('jose')
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer,
          audience: settings.clientId,
          algorithms: SIGNATURE_ALGORITHMS,
          requiredClaims: ['iat', 'jti', 'events'],
          maxTokenAge: MAX_LOGOUT_TOKEN_AGE_SECONDS,
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          currentDate: new Date(clock.now()),
        })
        return readLogout(payload)
      } catch (error) {
        if (error instanceof ProviderError) throw error
        const isRefused =
          error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)
        throw new ProviderError(isRefused ? 'invalid' : 'unreachable', describe(error), error)
      }
    },
  }
}

/** The claims of a verified logout token (2.4 and 2.6). */
function readLogout({ sub, sid, jti, events, nonce }: Claims): LogoutNotice {
  const event = isRecord(events) ? events[LOGOUT_EVENT] : undefined
  // An ID token has a nonce, and no events.
  const isLogout = isRecord(event) && nonce === undefined && typeof jti === 'string'
  const session = typeof sid === 'string' ? sid : null
  if (isLogout && typeof sub === 'string') return { subject: sub, sid: session, jti }
  if (isLogout && session !== null) return { subject: null, sid: session, jti }
  throw new ProviderError('invalid', 'not a logout token')
}

/** Codes of openid-client for answers that are not of the protocol, such as an error page of a proxy. */
const NO_ANSWER_CODES = [
  'OAUTH_TIMEOUT',
  'OAUTH_RESPONSE_IS_NOT_CONFORM',
  'OAUTH_RESPONSE_IS_NOT_JSON',
]

/** An error of openid-client: who caused it? */
function classify(error: unknown): ProviderError {
  const { name, code, status } = error as { name?: string; code?: string; status?: number }
  const isDown = code === undefined || NO_ANSWER_CODES.includes(code) || (status ?? 0) >= 500
  const kind = name === 'AuthorizationResponseError' ? 'denied' : isDown ? 'unreachable' : 'invalid'
  return new ProviderError(kind, describe(error), error)
}

const CHECK_CLIENT = 'check BROKER_ADMIN_OIDC_CLIENT_ID and BROKER_ADMIN_OIDC_CLIENT_SECRET'

/** Never the body of an answer, which may contain tokens. */
function describe(error: unknown): string {
  const { message = '', error: code } = error as { message?: string; error?: string }
  const cause = errorCode(error)
  const fix = code === 'invalid_client' || code === 'unauthorized_client' ? CHECK_CLIENT : ''
  return [message, code, cause, fix].filter((part) => part !== undefined && part !== '').join('; ')
}
