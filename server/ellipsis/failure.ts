import { EllipsisError } from './errors.ts'
import type { Answer } from './transport.ts'

/**
 * What an answer other than a good one means. Ellipsis Drive's error bodies are not documented: OAuth's
 * `{error, error_description}` is expected, and `{message}`, HTML or nothing at all is met. Only the
 * code `invalid_grant` itself is read as a dead grant; any other 400 or 401 may have other reasons.
 */
export function failureOf(answer: Answer, now: number): EllipsisError {
  const { status } = answer
  const code = oauthCode(answer.body)
  const facts = { status, code, retryAfterMs: retryAfter(answer.headers, now) }
  const told = code === null ? `status ${status}` : `${code}, status ${status}`
  if (status >= 300 && status < 400) {
    const words = `Ellipsis Drive sent a redirect (status ${status}); check ELLIPSIS_API_URL`
    return new EllipsisError(words, { ...facts, kind: 'transient', maybeApplied: false })
  }
  if (code === 'invalid_grant' && status < 500) {
    const words = `Ellipsis Drive refused the grant (${told})`
    return new EllipsisError(words, { ...facts, kind: 'refused', maybeApplied: false })
  }
  if (code === 'invalid_client' || code === 'unauthorized_client') {
    const words = `Ellipsis Drive refused the broker’s own client (${told})`
    return new EllipsisError(words, { ...facts, kind: 'misconfigured', maybeApplied: false })
  }
  // A clear refusal to work changed nothing; after anything else, upstream may have done its part.
  const maybeApplied = status < 400 || status >= 500
  const words = `Ellipsis Drive answered with an error (${told})`
  return new EllipsisError(words, { ...facts, kind: 'transient', maybeApplied })
}

/** RFC 6749 5.2's code, if the body has one in its form. */
function oauthCode(body: string): string | null {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed !== 'object' || parsed === null || !('error' in parsed)) return null
    const { error } = parsed
    return typeof error === 'string' && /^[a-z_]{1,40}$/.test(error) ? error : null
  } catch {
    return null
  }
}

/** `Retry-After` in milliseconds, from seconds or a date (RFC 9110 10.2.3); an hour at most. */
function retryAfter(headers: Headers, now: number): number | null {
  const value = headers.get('retry-after')?.trim()
  if (value === undefined || value === '') return null
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), 3_600_000)
}
