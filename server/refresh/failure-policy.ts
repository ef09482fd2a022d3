import type { Connection, Doubt, Millis } from '../../db/store.ts'
import type { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import { fraction } from '../runtime.ts'
import type { Clock, Random } from '../runtime.ts'

/** What failed calls of Ellipsis Drive mean, and how long to wait after them. Times in milliseconds. */

const SECOND = 1000
const MINUTE = 60 * SECOND

/** An answer of Ellipsis Drive's that is none; told by name, so that the domain needs no client code. */
export function isEllipsisError(error: unknown): error is EllipsisError {
  return error instanceof Error && error.name === 'EllipsisError'
}

/** The public error for a failed call upstream that no connection is to blame for. */
export function upstreamError(error: unknown): BrokerError {
  if (!isEllipsisError(error)) return new BrokerError('server_error', { cause: error })
  if (error.kind !== 'transient') return new BrokerError('server_error', { cause: error })
  const retryAfter = Math.ceil((error.retryAfterMs ?? 2 * SECOND) / SECOND)
  return new BrokerError('temporarily_unavailable', { cause: error, retryAfter })
}

/** The `attempt`th pause (from 0) of an exponential backoff: half of it fixed, half chance. */
export function backoff(attempt: number, first: number, longest: number, random: Random): number {
  const pause = Math.min(first * 2 ** attempt, longest)
  return pause / 2 + (pause / 2) * fraction(random)
}

/** Longest pauses after failures that pass: what upstream asks for, and what is waited unasked. */
const LONGEST_ASKED = MINUTE
const LONGEST_PASSING = 2 * SECOND
/** After answers that mean neither: they may be about this connection, or not. */
const LONGEST_UNCLEAR = MINUTE

/** When a connection that failed in passing may be tried again, from now. Upstream's wish is honoured. */
function transientPause(failures: number, random: Random, error: EllipsisError): number {
  const asked = Math.min(error.retryAfterMs ?? 0, LONGEST_ASKED)
  const longest = isUnclear(error) ? LONGEST_UNCLEAR : LONGEST_PASSING
  return Math.max(asked, backoff(failures, 250, longest, random))
}

/** Pauses between the rare retries of a refused connection. */
const RARE = [30 * SECOND, 2 * MINUTE, 10 * MINUTE, 60 * MINUTE, 6 * 60 * MINUTE]
const RAREST = 24 * 60 * MINUTE
const JITTER = 0.1

const rarePause = (refusals: number): number => RARE[refusals] ?? RAREST

function refusedPause(refusals: number, random: Random): number {
  return rarePause(refusals) * (1 + fraction(random) * JITTER)
}

/**
 * How much longer a connection that failed is left alone, milliseconds; 0: no longer. A pause that ends
 * further ahead than its last failure can have made it counts as ended: the clock was set back since.
 */
export function pauseLeft(
  { status, failures, retryAt }: Pick<Connection, 'status' | 'failures' | 'retryAt'>,
  now: Millis,
): number {
  const left = (retryAt ?? now) - now
  const mayBeRare = status !== 'active' || failures <= DISBELIEVED
  const rarest = mayBeRare ? rarePause(Math.max(failures - 1, 0)) * (1 + JITTER) : 0
  return left > 0 && left <= Math.max(LONGEST_ASKED, rarest) ? left : 0
}

/**
 * Can the same call be made again at once? Not while an answer to it may be under way, and not against
 * upstream's wish: a rotation whose answer was cut off waits for the next swap.
 */
export function isRetryable(error: unknown): error is EllipsisError {
  if (!isEllipsisError(error) || error.kind !== 'transient') return false
  if (error.status === null) return !error.maybeApplied
  return error.status >= 500 || (error.status === 429 && error.retryAfterMs !== null)
}

/**
 * Runs `call` up to three times, where its failure is retryable and asks for no longer wait than two
 * seconds. `before` runs ahead of each retry and may throw.
 */
export async function withRetries<T>(
  call: () => Promise<T>,
  needs: { clock: Clock; random: Random; before?: () => Promise<void> },
): Promise<T> {
  let first: Error | undefined
  let attempt = 0
  for (;;) {
    try {
      return await call()
    } catch (error) {
      // That there was no second try says less than how the first one failed.
      if (first !== undefined && error instanceof BrokerError) throw first
      first ??= error as Error
      if (attempt === 2 || !isRetryable(error)) throw error
      const asked = error.retryAfterMs ?? 0
      const pause = Math.max(asked, backoff(attempt++, 250, SECOND, needs.random))
      if (pause > 2 * SECOND) throw error
      await needs.clock.sleep(pause)
      await needs.before?.()
    }
  }
}

/** What a failed refresh means for its connection. */
export interface Verdict {
  /** Is it a refusal of the grant? */
  refused: boolean
  status: 'active' | 'needs_reconnect'
  /** For people; never a secret. */
  lastError: string
  retryAt: Millis
  doubt: Doubt | null
}

/** Why a refresh token that may be out of date is refused, for people. */
const DOUBTS: Record<Doubt, string> = {
  answer_lost:
    'the answer to an earlier refresh was lost, and with it the refresh token that it may have carried',
}

/** Told when the refused token comes from a backup, and may have been replaced after it was made. */
const restored = (from: Millis): string =>
  `restored from a backup of ${new Date(from).toISOString()}: the token in it had been superseded, or revoked`

/** Why a refresh token is refused, for people. */
function reasonOf(doubt: Doubt | null, restoredFrom: Millis | null): string {
  if (restoredFrom !== null) return restored(restoredFrom)
  return doubt ? DOUBTS[doubt] : 'it was revoked there, or has ended'
}

/** So many unclear answers in a row, while others are refreshed, are taken for a refusal. */
const UNCLEAR = 8
/** As long as all are refused, a refusal isn't believed before so many: for more than an hour. */
const DISBELIEVED = 4

/** Neither a refusal of the grant nor a passing fault: about this connection, or the client, or all else. */
const isUnclear = ({ kind, status }: EllipsisError): boolean =>
  kind !== 'refused' && status !== null && status >= 400 && status < 500 && status !== 429

/**
 * @param context `othersWork`: others were refreshed while this one failed, so that neither upstream nor the
 *   broker's client is to blame; `refusesAll`: many are refused, and none is refreshed
 */
export function judge(
  error: EllipsisError,
  connection: Pick<Connection, 'status' | 'failures' | 'doubt' | 'restoredFrom'>,
  context: { othersWork: boolean; refusesAll: boolean; now: Millis; random: Random },
): Verdict {
  const { status, failures, restoredFrom } = connection
  const { othersWork, refusesAll, now, random } = context
  const doubt = error.maybeApplied ? 'answer_lost' : connection.doubt
  // What may be out of date is refused with reason.
  const disbelieved = refusesAll && doubt === null && failures < DISBELIEVED
  const refused =
    (error.kind === 'refused' && !(status === 'active' && disbelieved)) ||
    (isUnclear(error) && failures >= UNCLEAR && othersWork)
  if (refused) {
    const refusals = status === 'needs_reconnect' ? failures : 0
    const lastError = `Ellipsis Drive refused the refresh token: ${reasonOf(doubt, restoredFrom)}`
    const retryAt = now + refusedPause(refusals, random)
    return { refused, status: 'needs_reconnect', lastError, retryAt, doubt }
  }
  const rarely = status === 'needs_reconnect' || error.kind === 'refused'
  return {
    refused,
    status: status === 'active' ? 'active' : 'needs_reconnect',
    lastError: doubt ? `${error.message}; ${DOUBTS[doubt]}` : error.message,
    retryAt: now + (rarely ? refusedPause : transientPause)(failures, random, error),
    doubt,
  }
}
