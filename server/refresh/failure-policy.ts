import type { Connection, Millis, StaleReason } from '../../db/store.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import { fraction } from '../runtime.ts'
import type { Clock, Random } from '../runtime.ts'

/** What failed calls of Ellipsis Drive mean, and how long to wait after them. */

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

/** The public error for a failed upstream call that is no connection's fault. */
export function upstreamError(error: unknown): BrokerError {
  if (!(error instanceof EllipsisError)) return new BrokerError('server_error', { cause: error })
  if (error.kind === 'misconfigured') return clientRefused(error)
  const retryAfter = Math.ceil((error.retryAfterMs ?? 2 * SECOND_MS) / SECOND_MS)
  const description =
    error.publicMessage ??
    `Ellipsis Drive did not answer as it should. Try again in ${retryAfter} ${retryAfter === 1 ? 'second' : 'seconds'}.`
  const reason = 'upstream_unavailable'
  return new BrokerError('temporarily_unavailable', {
    cause: error,
    retryAfter,
    description,
    reason,
  })
}

/** Why a call failed, for the log: Ellipsis Drive refuses the broker's own client. */
export const OWN_CLIENT_REFUSED = 'own_client_refused'

/** The public error while Ellipsis Drive refuses the broker's own client. */
export function clientRefused(cause?: unknown): BrokerError {
  const description =
    'Ellipsis Drive does not accept the client id or secret of this broker. Tell the host of this broker.'
  return new BrokerError('server_error', { cause, description, reason: OWN_CLIENT_REFUSED })
}

/**
 * Exponential backoff: pause after the `attempt`th failure (from 0), milliseconds. Half of it is fixed, half
 * is random.
 */
export function backoffMs(attempt: number, firstMs: number, maxMs: number, random: Random): number {
  const pauseMs = Math.min(firstMs * 2 ** attempt, maxMs)
  return pauseMs / 2 + (pauseMs / 2) * fraction(random)
}

/** Longest pause that upstream can ask for. */
const MAX_RETRY_AFTER_MS = MINUTE_MS
/** Longest pause after a transient failure, if upstream asks for none. */
const MAX_TRANSIENT_PAUSE_MS = 2 * SECOND_MS
/** Longest pause after an unclear answer, which may concern this connection or not. */
const MAX_UNCLEAR_PAUSE_MS = MINUTE_MS

/** Pause of a connection after a transient or unclear failure. Honours `Retry-After`. */
function transientPauseMs(failures: number, random: Random, error: EllipsisError): number {
  const retryAfterMs = Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
  const maxMs = isUnclear(error) ? MAX_UNCLEAR_PAUSE_MS : MAX_TRANSIENT_PAUSE_MS
  return Math.max(retryAfterMs, backoffMs(failures, 250, maxMs, random))
}

/** Pauses between the retries of a refused connection. */
const REFUSED_PAUSES_MS = [30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS]
const MAX_REFUSED_PAUSE_MS = 24 * HOUR_MS
/** Share of a pause that is added at random. */
const JITTER = 0.1

const baseRefusedPauseMs = (refusals: number): number =>
  REFUSED_PAUSES_MS[refusals] ?? MAX_REFUSED_PAUSE_MS

const refusedPauseMs = (refusals: number, random: Random): number =>
  baseRefusedPauseMs(refusals) * (1 + fraction(random) * JITTER)

/**
 * Remaining pause of a connection after a failure, milliseconds; 0: it may be tried now. A pause that is
 * longer than any the broker sets counts as over: the clock was set back since.
 */
export function remainingPauseMs(
  { rejections, retryAt }: Pick<Connection, 'rejections' | 'retryAt'>,
  now: Millis,
): number {
  const remainingMs = (retryAt ?? now) - now
  const maxRefusedMs = rejections > 0 ? baseRefusedPauseMs(rejections - 1) * (1 + JITTER) : 0
  const isPlausible = remainingMs <= Math.max(MAX_RETRY_AFTER_MS, maxRefusedMs)
  return remainingMs > 0 && isPlausible ? remainingMs : 0
}

/**
 * Can the same call be repeated at once? Without a response, only if the call cannot have taken effect: a
 * rotation whose answer was lost waits for the next swap. Not if upstream asks for fewer calls without saying
 * for how long.
 */
export function isRetryable(error: unknown): error is EllipsisError {
  if (!(error instanceof EllipsisError) || error.kind !== 'transient') return false
  if (error.status === null) return !error.maybeApplied
  return error.status >= 500 || (error.status === 429 && error.retryAfterMs !== null)
}

const MAX_ATTEMPTS = 3
/** Longest pause between two attempts; if upstream asks for a longer one, there is no further attempt. */
const MAX_ATTEMPT_PAUSE_MS = 2 * SECOND_MS

/**
 * Runs `call` up to three times, while its errors are retryable.
 * @param options.beforeRetry runs before each retry, and may throw
 */
export async function withRetries<T>(
  call: () => Promise<T>,
  options: { clock: Clock; random: Random; beforeRetry?: () => Promise<void> },
): Promise<T> {
  let firstError: Error | undefined
  for (let attempt = 0; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      // Report the first attempt's error; the retry was not made.
      if (firstError !== undefined && error instanceof BrokerError) throw firstError
      firstError ??= error as Error
      if (attempt === MAX_ATTEMPTS - 1 || !isRetryable(error)) throw error
      const minPauseMs = backoffMs(attempt, 250, SECOND_MS, options.random)
      const pauseMs = Math.max(error.retryAfterMs ?? 0, minPauseMs)
      if (pauseMs > MAX_ATTEMPT_PAUSE_MS) throw error
      await options.clock.sleep(pauseMs)
      await options.beforeRetry?.()
    }
  }
}

/** What a failed refresh means for its connection. */
interface FailureAssessment {
  /** Does the broker take it for a refusal of the grant? */
  grantRefused: boolean
  /** It counts as a rejection, whether the broker believes it or not. */
  isRejection: boolean
  status: 'active' | 'needs_reconnect'
  /** For people; never a secret. */
  lastError: string
  retryAt: Millis
  staleReason: StaleReason | null
}

/** Why the refresh token may be out of date, for people. */
const STALE_REASONS: Record<StaleReason, string> = {
  answer_lost:
    'the answer to an earlier refresh was lost, and a new refresh token may have been lost with it',
}

/** Why a refresh token is refused, for people. */
function describeRefusal(staleReason: StaleReason | null, restoredFrom: Millis | null): string {
  if (restoredFrom !== null) {
    const date = new Date(restoredFrom).toISOString()
    return `restored from a backup of ${date}: its token was superseded or revoked`
  }
  return staleReason ? STALE_REASONS[staleReason] : 'it was revoked there, or has expired'
}

/** More unclear answers than this in a row, while others are refreshed, count as a refusal. */
const UNCLEAR_FAILURES_LIMIT = 8
/** While all connections are refused, a refusal is believed only after this many: after more than an hour. */
const DISBELIEVED_REFUSALS_LIMIT = 4

/** Does the failure say something about its connection, and not only about Ellipsis Drive or the broker's client? */
export const isOfOneConnection = (error: EllipsisError): boolean =>
  error.kind === 'refused' || (error.kind === 'transient' && isUnclear(error))

/** Neither a refusal nor transient: it may concern this connection, the client, or everything. */
const isUnclear = ({ kind, status }: EllipsisError): boolean =>
  kind !== 'refused' && status !== null && status >= 400 && status < 500 && status !== 429

/**
 * Decides what a failed refresh means.
 * @param connection as it was before the failure
 * @param context.othersSucceed another connection was refreshed since this one began to fail
 * @param context.refusesAll Ellipsis Drive currently refuses every connection
 */
export function assessFailure(
  error: EllipsisError,
  connection: Pick<
    Connection,
    'status' | 'failures' | 'rejections' | 'staleReason' | 'restoredFrom'
  >,
  context: { othersSucceed: boolean; refusesAll: boolean; now: Millis; random: Random },
): FailureAssessment {
  const { status, failures, rejections, restoredFrom } = connection
  const { othersSucceed, refusesAll, now, random } = context
  const staleReason = error.maybeApplied ? 'answer_lost' : connection.staleReason
  // A refusal of a token that may be out of date is plausible.
  const isDisbelieved =
    status === 'active' &&
    refusesAll &&
    staleReason === null &&
    rejections < DISBELIEVED_REFUSALS_LIMIT
  const grantRefused =
    (error.kind === 'refused' && !isDisbelieved) ||
    (isUnclear(error) && failures >= UNCLEAR_FAILURES_LIMIT && othersSucceed)
  if (grantRefused) {
    return {
      grantRefused,
      isRejection: true,
      status: 'needs_reconnect',
      lastError: `Ellipsis Drive refused the refresh token: ${describeRefusal(staleReason, restoredFrom)}`,
      retryAt: now + Math.ceil(refusedPauseMs(rejections, random)),
      staleReason,
    }
  }
  const isRejection = error.kind === 'refused'
  const rarelyPauseMs = () =>
    refusedPauseMs(isRejection ? rejections : Math.max(rejections - 1, 0), random)
  const pauseMs =
    isRejection || status === 'needs_reconnect'
      ? rarelyPauseMs()
      : transientPauseMs(failures, random, error)
  return {
    grantRefused,
    isRejection,
    status: status === 'active' ? 'active' : 'needs_reconnect',
    lastError: staleReason ? `${error.message}; ${STALE_REASONS[staleReason]}` : error.message,
    retryAt: now + Math.ceil(pauseMs),
    staleReason,
  }
}
