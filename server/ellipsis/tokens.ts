import { Secret } from '../secret.ts'
import { EllipsisError } from './errors.ts'
import type { Answer } from './transport.ts'

/** What the token endpoint gave. Times in milliseconds since the epoch. */
export interface Tokens {
  accessToken: Secret
  /** `null`: none in the answer, so the one that was sent stays. */
  refreshToken: Secret | null
  expiresAt: number
  /** When the call began. */
  fetchedAt: number
  scope: string | null
}

/** Longest token that is taken, characters; access tokens may be long. */
const LONGEST = 16 * 1024
/** Sane lives of an access token, seconds. */
const LONGEST_LIFE = 10 * 366 * 86_400

/**
 * Reads a good answer of the token endpoint. Only `access_token` may be relied on: `refresh_token` can be
 * absent, and the life is `expires_in`, else what the token says of itself if it is a JWT, else assumed.
 * @throws EllipsisError `transient`, `maybeApplied`: what upstream meant is lost
 */
export function readTokens(answer: Answer, fetchedAt: number, assumedSeconds: number): Tokens {
  const body = parse(answer)
  const accessToken = token(body.access_token)
  if (accessToken === null) throw unreadable(answer, 'no access_token')
  const seconds = lifeOf(body.expires_in) ?? hintOf(accessToken, fetchedAt) ?? assumedSeconds
  const refreshToken = token(body.refresh_token)
  return {
    accessToken: new Secret(accessToken),
    refreshToken: refreshToken === null ? null : new Secret(refreshToken),
    expiresAt: fetchedAt + seconds * 1000,
    fetchedAt,
    scope: typeof body.scope === 'string' ? body.scope.slice(0, 200) : null,
  }
}

const unreadable = (answer: Answer, what: string): EllipsisError =>
  new EllipsisError(`Ellipsis Drive’s answer can’t be read (${what}, status ${answer.status})`, {
    kind: 'transient',
    status: answer.status,
    maybeApplied: true,
  })

/** A JSON object, or nothing that can be used. */
export function parse(answer: Answer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(answer.body)
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  } catch {
    // Its words may repeat what was read.
  }
  throw unreadable(answer, 'no JSON object')
}

/** RFC 6749 A.12: visible ASCII and space. */
function token(value: unknown): string | null {
  return typeof value === 'string' && value.length <= LONGEST && /^[\x20-\x7e]+$/.test(value)
    ? value
    : null
}

/** `expires_in`: a number, or one in a string, as some servers send it. */
function lifeOf(value: unknown): number | null {
  const seconds = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return typeof seconds === 'number' && seconds > 0 && seconds <= LONGEST_LIFE ? seconds : null
}

/** What a JWT's `exp` says; a hint, as the token is opaque and the clocks may differ. */
function hintOf(accessToken: string, now: number): number | null {
  const payload = accessToken.split('.')[1]
  if (payload === undefined) return null
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    if (typeof claims !== 'object' || claims === null || !('exp' in claims)) return null
    return typeof claims.exp === 'number' ? lifeOf(Math.floor(claims.exp - now / 1000)) : null
  } catch {
    return null
  }
}
