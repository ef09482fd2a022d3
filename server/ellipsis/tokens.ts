import { Secret } from '../secret.ts'
import { EllipsisError } from './errors.ts'
import { failureOf } from './failure.ts'
import { lifetimeOf } from './lifetime.ts'
import type { Answer } from './transport.ts'

/** What the token endpoint gave. Times in milliseconds since the epoch. */
export interface Tokens {
  accessToken: Secret
  /** `null`: none in the answer, so the one that was sent stays. */
  refreshToken: Secret | null
  expiresAt: number
  /** When the call began. */
  fetchedAt: number
  /** As told, which may be not at all. */
  scope: string | null
}

/** Longest token that is taken, bytes; access tokens may be long. */
const LONGEST = 16 * 1024

/**
 * Reads an answer of the token endpoint. Ellipsis Drive's is not documented, so that only `access_token`
 * is relied on:
 * - Any 2xx with one is good. 200 is what the API's clients take for success, but upstream has rotated by
 *   then, and tokens that aren't kept are lost.
 * - `refresh_token` can be absent: the one that was sent stays. So it is where it can't be used (no string,
 *   too long, with control characters); the access token works, and so may the older refresh token.
 * - A refresh token without an access token goes along with the error, for it may be the only one left.
 * - `expires_in` can be absent or odd (lifetime.ts); `token_type` and the rest don't matter.
 * @param call `fetchedAt`, `now`: milliseconds, when the call began and ended; `assumedSeconds`: life of an
 *   access token where nothing tells
 * @throws EllipsisError
 */
export function readTokens(
  answer: Answer,
  call: { fetchedAt: number; now: number; assumedSeconds: number },
): Tokens {
  const json = isGood(answer) ? (answer.json ?? {}) : {}
  const refreshToken = isKeepable(json.refresh_token) ? new Secret(json.refresh_token) : null
  const value = json.access_token
  if (!isSendable(value)) throw withoutTokens(answer, refreshToken, call.now)
  const { fetchedAt, assumedSeconds } = call
  const life = lifetimeOf({ value, expiresIn: json.expires_in }, fetchedAt, assumedSeconds)
  return {
    accessToken: new Secret(value),
    refreshToken,
    expiresAt: fetchedAt + life * 1000,
    fetchedAt,
    scope: isScope(json.scope) ? json.scope : null,
  }
}

/** Did a good answer bring a refresh token that can't be used? If upstream rotated, it is lost. */
export function losesRefreshToken({ json }: Answer): boolean {
  const value = json?.refresh_token
  return value !== undefined && value !== null && value !== '' && !isKeepable(value)
}

const isGood = ({ status }: Answer): boolean => status >= 200 && status < 300

function withoutTokens(answer: Answer, refreshToken: Secret | null, now: number): EllipsisError {
  const failure = failureOf(answer, now)
  const { status } = answer
  if (!isGood(answer) || (failure.code !== null && refreshToken === null)) return failure
  const words = `Ellipsis Drive’s answer holds no access token that can be used (status ${status})`
  const facts = { kind: 'transient', status, maybeApplied: true, refreshToken } as const
  return new EllipsisError(words, facts)
}

/** It goes into a header: visible ASCII and space (RFC 6749 A.12). */
const isSendable = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= LONGEST && /^[\x20-\x7e]+$/.test(value)

/** It goes into a form or JSON, which take any text; control characters show that something is wrong. */
const isKeepable = (value: unknown): value is string =>
  typeof value === 'string' &&
  /^\P{Cc}+$/u.test(value) &&
  value.isWellFormed() &&
  Buffer.byteLength(value) <= LONGEST

const isScope = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x20-\x7e]{1,200}$/.test(value)
