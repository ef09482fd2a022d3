import { EllipsisError } from './errors.ts'
import type { FailureKind } from './errors.ts'
import type { Answer } from './transport.ts'

/**
 * What an answer other than a good one means. Ellipsis Drive's error bodies are not documented: OAuth's
 * `{error, error_description}` is expected, and `{message}`, HTML or nothing at all is met.
 *
 * Only the code `invalid_grant` itself is read as a dead grant. A 400 or 401 whose `message` speaks of a
 * refresh token in some other way may mean a wrong parameter, client or encoding as well, so it is
 * transient: taken wrongly for a refusal it would ask every user to connect again, taken wrongly for a
 * passing fault it costs one more try, and whoever counts them can still draw the line.
 * @param now milliseconds, which a date in `Retry-After` is compared with
 */
export function failureOf(answer: Answer, now: number): EllipsisError {
  const { status, safe } = answer
  const code = oauthCode(answer.json)
  const kind = kindOf(status, code)
  return new EllipsisError(wordsFor(kind, status, code), {
    kind,
    status,
    code,
    retryAfterMs: retryAfter(answer.headers, now),
    maybeApplied: !safe && kind === 'transient' && mayHaveWorked(status),
  })
}

/**
 * 429 and 5xx pass, whatever their body says. A status below 300 is judged by its body like a 4xx: some
 * services send OAuth's errors with a 200, and the shape of Ellipsis Drive's is unknown.
 */
function kindOf(status: number, code: string | null): FailureKind {
  if (status === 429 || status >= 500 || isRedirect(status)) return 'transient'
  if (code === 'invalid_grant') return 'refused'
  return code === 'invalid_client' || code === 'unauthorized_client' ? 'misconfigured' : 'transient'
}

/** Of redirects 303 alone says that the call was carried out; a 4xx says that it was not. */
const mayHaveWorked = (status: number): boolean => status < 300 || status === 303 || status >= 500

const isRedirect = (status: number): boolean => status >= 300 && status < 400

function wordsFor(kind: FailureKind, status: number, code: string | null): string {
  const told = code === null ? `status ${status}` : `${code}, status ${status}`
  if (kind === 'refused') return `Ellipsis Drive refused the grant (${told})`
  if (kind === 'misconfigured') return `Ellipsis Drive refused the broker’s own client (${told})`
  if (isRedirect(status)) return `Ellipsis Drive sent a redirect (${told}); check ELLIPSIS_API_URL`
  return `Ellipsis Drive answered with an error (${told})`
}

/**
 * RFC 6749 5.2's code, in its own place or as the whole of a `message`, where Ellipsis Drive's other
 * errors have their words. Two words or more in snake case: nothing secret looks like that.
 */
function oauthCode(json: Answer['json']): string | null {
  const isCode = (value: unknown): value is string =>
    typeof value === 'string' && value.length <= 60 && /^[a-z]{2,20}(_[a-z]{1,20})+$/.test(value)
  return [json?.error, json?.message].find(isCode) ?? null
}

/** Longest `Retry-After` that is believed, milliseconds. */
const LONGEST_WAIT = 60 * 60_000

/** `Retry-After` in milliseconds, from seconds or a date (RFC 9110 10.2.3). */
function retryAfter(headers: Headers, now: number): number | null {
  const value = headers.get('retry-after') ?? ''
  const wait = /^\d+$/.test(value)
    ? Number(value) * 1000
    : value.endsWith(' GMT')
      ? Date.parse(value) - now
      : NaN
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), LONGEST_WAIT)
}
