import type { Secret } from '../secret.ts'

/** A response of Ellipsis Drive, read completely. */
export interface UpstreamResponse {
  status: number
  headers: Headers
  /** The body, if it is a JSON object. Also `null` if the body of an error is cut off or too large. */
  json: Record<string, unknown> | null
  /** Was the method safe (RFC 9110 9.2.1)? Then the call has changed nothing. */
  isSafeMethod: boolean
}

/** What a failed call means for the broker. */
type FailureKind =
  /** The grant was refused: error code `invalid_grant`. */
  | 'refused'
  /** The broker's own client was refused: its id or secret is wrong. No grant is at fault. */
  | 'misconfigured'
  /** Everything else. An error that the broker does not understand is not held against a grant. */
  | 'transient'

interface FailureFacts {
  kind: FailureKind
  status: number | null
  maybeApplied: boolean
  retryAfterMs?: number | null
  code?: string | null
  refreshToken?: Secret | null
  publicMessage?: string | null
}

/**
 * A call of Ellipsis Drive that failed. Its message contains nothing that was sent or received, and it has no
 * `cause`: the errors of fetch contain the bytes of a response that it cannot parse, and headers that it
 * refuses to send.
 */
export class EllipsisError extends Error {
  override readonly name = 'EllipsisError'
  readonly kind: FailureKind
  /** HTTP status; `null`: there was no response, or a successful one was cut off. */
  readonly status: number | null
  /** The `Retry-After` of the response, milliseconds. */
  readonly retryAfterMs: number | null
  /** Could the call have taken effect? Then the next refresh token may be lost. */
  readonly maybeApplied: boolean
  /** The OAuth error code of the response (RFC 6749 5.2), if it has one. */
  readonly code: string | null
  /**
   * A usable refresh token from a response that has no usable access token. If upstream rotates, this is the
   * only copy: store it, or the grant may be lost.
   */
  readonly refreshToken: Secret | null
  /** What is wrong and what to do, for apps and users, if more specific than the kind. ASCII (RFC 6749 5.2). */
  readonly publicMessage: string | null

  constructor(message: string, facts: FailureFacts) {
    super(message)
    this.kind = facts.kind
    this.status = facts.status
    this.maybeApplied = facts.maybeApplied
    this.retryAfterMs = facts.retryAfterMs ?? null
    this.code = facts.code ?? null
    this.refreshToken = facts.refreshToken ?? null
    this.publicMessage = facts.publicMessage ?? null
  }
}

/**
 * Turns an error response into an `EllipsisError`. Ellipsis Drive's error bodies are not documented: expected
 * are OAuth's `{error, error_description}`, `{message}`, HTML or nothing.
 *
 * Only the exact code `invalid_grant` counts as a refused grant. A 400 or 401 whose `message` mentions a
 * refresh token in another way may also mean a wrong parameter, client or encoding, so it is transient. A
 * transient error taken for a refusal would make every user connect again; a refusal taken for a transient
 * error costs one more try, and callers can count those.
 * @param now milliseconds; a date in `Retry-After` is compared with it
 */
export function toEllipsisError(response: UpstreamResponse, now: number): EllipsisError {
  const { status, isSafeMethod } = response
  const code = readErrorCode(response.json)
  const kind = classify(status, code)
  return new EllipsisError(describe(kind, status, code), {
    kind,
    status,
    code,
    retryAfterMs: readRetryAfterMs(response.headers, now),
    maybeApplied: !isSafeMethod && kind === 'transient' && mayHaveTakenEffect(status),
  })
}

/**
 * 429, 5xx and redirects are transient, whatever their body says. A status below 300 is classified by its body
 * like a 4xx: some services send OAuth errors with status 200.
 */
function classify(status: number, code: string | null): FailureKind {
  if (status === 429 || status >= 500 || isRedirect(status)) return 'transient'
  if (code === 'invalid_grant') return 'refused'
  return code === 'invalid_client' || code === 'unauthorized_client' ? 'misconfigured' : 'transient'
}

/** Of the redirects, only 303 says that the call was processed; a 4xx says that it was not. */
const mayHaveTakenEffect = (status: number): boolean =>
  status < 300 || status === 303 || status >= 500

const isRedirect = (status: number): boolean => status >= 300 && status < 400

function describe(kind: FailureKind, status: number, code: string | null): string {
  const details = code === null ? `status ${status}` : `${code}, status ${status}`
  if (kind === 'refused') return `Ellipsis Drive refused the grant (${details})`
  if (kind === 'misconfigured')
    return `Ellipsis Drive refused the broker’s own client (${details}); check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET`
  if (isRedirect(status))
    return `Ellipsis Drive sent a redirect (${details}); check ELLIPSIS_API_URL`
  return `Ellipsis Drive answered with an error (${details})`
}

/**
 * The error code of RFC 6749 5.2, in `error` or as the whole `message`, where Ellipsis Drive's other errors
 * have their text. Two or more words in snake case: no secret looks like that.
 */
function readErrorCode(json: UpstreamResponse['json']): string | null {
  const isCode = (value: unknown): value is string =>
    typeof value === 'string' && value.length <= 60 && /^[a-z]{2,20}(_[a-z]{1,20})+$/.test(value)
  return [json?.error, json?.message].find(isCode) ?? null
}

/** Longest `Retry-After` that is believed. */
const MAX_RETRY_AFTER_MS = 60 * 60_000

/** `Retry-After` in milliseconds, from seconds or a date (RFC 9110 10.2.3). */
function readRetryAfterMs(headers: Headers, now: number): number | null {
  const value = headers.get('retry-after') ?? ''
  const waitMs = /^\d+$/.test(value)
    ? Number(value) * 1000
    : value.endsWith(' GMT')
      ? Date.parse(value) - now
      : NaN
  return Number.isNaN(waitMs) ? null : Math.min(Math.max(waitMs, 0), MAX_RETRY_AFTER_MS)
}

/** Statuses of a gateway that does not reach Ellipsis Drive. Others are answers to this one request. */
export const isOutage = (status: number): boolean => status >= 502 && status <= 504
