/**
 * Longest life that is believed, seconds: 31 days. What says more has probably counted milliseconds, or
 * told a date; too short a life costs some refreshes, too long a one hands out dead tokens.
 */
const LONGEST = 31 * 86_400

/**
 * How long an access token lives, whole seconds: `expires_in` (RFC 6749 5.1), else what the token says of
 * itself, else what is assumed. Ellipsis Drive may leave `expires_in` out.
 * @param now milliseconds, when the call that brought the token began
 */
export function lifetimeOf(
  token: { value: string; expiresIn: unknown },
  now: number,
  assumedSeconds: number,
): number {
  return sane(token.expiresIn) ?? jwtLife(token.value, now) ?? assumedSeconds
}

/** A number of seconds, or one in a string, as some servers send it; `null`: it can't be meant. */
function sane(value: unknown): number | null {
  const number =
    typeof value === 'string' && /^\d{1,9}(\.\d+)?$/.test(value) ? Number(value) : value
  const seconds = typeof number === 'number' ? Math.floor(number) : NaN
  return seconds > 0 && seconds <= LONGEST ? seconds : null
}

/**
 * What a JWT's `exp` says: a hint alone, as tokens are opaque (RFC 6749 1.4) and clocks differ. Where it
 * tells `iat`, which is of the same clock, the shorter span counts.
 */
function jwtLife(token: string, now: number): number | null {
  const { exp, iat } = claimsOf(token) ?? {}
  if (typeof exp !== 'number') return null
  const left = sane(exp - now / 1000)
  const whole = typeof iat === 'number' ? sane(exp - iat) : null
  return left !== null && whole !== null ? Math.min(left, whole) : left
}

/** The claims of what looks like a JWT (RFC 7519 3), unverified. */
function claimsOf(token: string): Record<string, unknown> | null {
  const [, payload, ...rest] = token.split('.')
  if (payload === undefined || rest.length !== 1) return null
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return typeof claims === 'object' ? (claims as Record<string, unknown> | null) : null
  } catch {
    return null
  }
}
