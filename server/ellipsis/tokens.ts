import { Secret } from '../secret.ts'
import { EllipsisError, toEllipsisError } from './errors.ts'
import type { UpstreamResponse } from './errors.ts'

/** A response of the token endpoint. Times in milliseconds since the epoch. */
export interface Tokens {
  accessToken: Secret
  /** `null`: none in the response, so the one that was sent stays valid. */
  refreshToken: Secret | null
  expiresAt: number
  /** When the call began. */
  fetchedAt: number
  /** `null`: not in the response. */
  scope: string | null
}

/** Longest token that is accepted; access tokens may be long. */
const MAX_TOKEN_LENGTH_BYTES = 16 * 1024

/**
 * Reads a response of the token endpoint. It is not documented, so only `access_token` is required:
 * - Any 2xx status with an access token is a success. The API documents 200, but upstream has rotated by
 *   then, and tokens that are not stored are lost.
 * - `refresh_token` may be absent: the one that was sent stays valid. An unusable one (no string, too long, or
 *   with control characters) counts as absent: the access token works, and the older refresh token may.
 * - A refresh token without an access token is returned in the error, as it may be the only copy.
 * - `expires_in` may be absent or invalid (see `lifetimeSeconds`), 0 or less: the token has expired at once.
 *   `token_type` and other fields are ignored.
 * @param call `fetchedAt`, `now`: when the call began and ended, milliseconds; `defaultLifetimeSeconds`:
 *   lifetime of an access token if the response has none
 * @throws EllipsisError
 */
export function readTokens(
  response: UpstreamResponse,
  call: { fetchedAt: number; now: number; defaultLifetimeSeconds: number },
): Tokens {
  const json = isSuccess(response) ? (response.json ?? {}) : {}
  const refreshToken = isUsableRefreshToken(json.refresh_token)
    ? new Secret(json.refresh_token)
    : null
  const value = json.access_token
  if (!isUsableAccessToken(value)) throw missingTokenError(response, refreshToken, call.now)
  const { fetchedAt, defaultLifetimeSeconds } = call
  const token = { value, expiresIn: json.expires_in }
  return {
    accessToken: new Secret(value),
    refreshToken,
    expiresAt: fetchedAt + lifetimeSeconds(token, fetchedAt, defaultLifetimeSeconds) * 1000,
    fetchedAt,
    scope: isScope(json.scope) ? json.scope : null,
  }
}

/** Does a success response have an unusable refresh token? If upstream rotated, the grant is lost. */
export function losesRefreshToken({ json }: UpstreamResponse): boolean {
  const value = json?.refresh_token
  return value !== undefined && value !== null && value !== '' && !isUsableRefreshToken(value)
}

const isSuccess = ({ status }: UpstreamResponse): boolean => status >= 200 && status < 300

function missingTokenError(
  response: UpstreamResponse,
  refreshToken: Secret | null,
  now: number,
): EllipsisError {
  const error = toEllipsisError(response, now)
  const { status, json } = response
  if (!isSuccess(response) || (error.code !== null && refreshToken === null)) return error
  const accessToken = json?.access_token
  const hasAccessToken = typeof accessToken === 'string' && accessToken !== ''
  const message = !hasAccessToken
    ? 'Ellipsis Drive’s answer has no usable access token'
    : accessToken.length > MAX_TOKEN_LENGTH_BYTES
      ? `Ellipsis Drive’s access token is too large: more than ${MAX_TOKEN_LENGTH_BYTES} bytes`
      : 'Ellipsis Drive’s access token has characters that no header can carry'
  return new EllipsisError(`${message} (status ${status})`, {
    kind: 'transient',
    status,
    // Nothing is lost with a refresh token that is here, or that a complete answer leaves as it was.
    maybeApplied: refreshToken === null && (!hasAccessToken || losesRefreshToken(response)),
    refreshToken,
    publicMessage: hasAccessToken
      ? `${message.replace('’', "'")}. Tell the host of this broker.`
      : null,
  })
}

/** Can be sent in a header: visible ASCII and space (RFC 6749 A.12). */
const isUsableAccessToken = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length <= MAX_TOKEN_LENGTH_BYTES &&
  /^[\x20-\x7e]+$/.test(value)

/** Is sent in a form or JSON, which take any text; control characters show that something is wrong. */
const isUsableRefreshToken = (value: unknown): value is string =>
  typeof value === 'string' &&
  /^\P{Cc}+$/u.test(value) &&
  value.isWellFormed() &&
  Buffer.byteLength(value) <= MAX_TOKEN_LENGTH_BYTES

const isScope = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x20-\x7e]{1,200}$/.test(value)

/**
 * Longest lifetime that is believed: 31 days. A longer one is probably in milliseconds, or a date. A lifetime
 * that is too short costs some refreshes; one that is too long hands out expired tokens.
 */
const MAX_LIFETIME_SECONDS = 31 * 86_400

/**
 * Lifetime of an access token, whole seconds: `expires_in` (RFC 6749 5.1), else what the token itself says,
 * else the default. Ellipsis Drive may omit `expires_in`.
 * @param now milliseconds, when the call that returned the token began
 */
export function lifetimeSeconds(
  token: { value: string; expiresIn: unknown },
  now: number,
  defaultSeconds: number,
): number {
  return readSeconds(token.expiresIn) ?? jwtLifetimeSeconds(token.value, now) ?? defaultSeconds
}

/**
 * A plausible number of seconds, also as a string, which some servers send; otherwise `null`. 0 if less than one:
 * expired at once.
 */
function readSeconds(value: unknown): number | null {
  const number = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
  const seconds = typeof number === 'number' ? Math.max(0, Math.floor(number)) : NaN
  return seconds <= MAX_LIFETIME_SECONDS ? seconds : null
}

/**
 * The lifetime that a JWT's `exp` gives. Only a hint, because tokens are opaque (RFC 6749 1.4) and clocks
 * differ: one that has passed already says nothing. If it has `iat`, which is of the same clock, the shorter of
 * the two durations counts.
 */
function jwtLifetimeSeconds(token: string, now: number): number | null {
  const { exp, iat } = readJwtClaims(token) ?? {}
  if (typeof exp !== 'number') return null
  const remaining = readSeconds(exp - now / 1000) || null
  const total = typeof iat === 'number' ? readSeconds(exp - iat) || null : null
  return remaining !== null && total !== null ? Math.min(remaining, total) : remaining
}

/** The unverified claims of a JWT (RFC 7519 3); `null` if it does not look like one. */
function readJwtClaims(token: string): Record<string, unknown> | null {
  const [, payload, ...rest] = token.split('.')
  if (payload === undefined || rest.length !== 1) return null
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return typeof claims === 'object' ? (claims as Record<string, unknown> | null) : null
  } catch {
    return null
  }
}
