import type { Connection, Millis } from '../../db/store.ts'
import type { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import { fraction } from './clock.ts'
import type { Clock, Random } from './clock.ts'

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

/** When a connection that failed in passing may be tried again, from now. Upstream's wish is honoured. */
function transientPause(error: EllipsisError, failures: number, random: Random): number {
  const asked = Math.min(error.retryAfterMs ?? 0, 10 * MINUTE)
  return Math.max(asked, backoff(failures, 250, 2 * SECOND, random))
}

/** Pauses between the rare retries of a refused connection. */
const RARE = [30 * SECOND, 2 * MINUTE, 10 * MINUTE, 60 * MINUTE, 6 * 60 * MINUTE, 24 * 60 * MINUTE]

function refusedPause(refusals: number, random: Random): number {
  const pause = RARE[Math.min(refusals, RARE.length - 1)] ?? MINUTE
  return pause * (1 + fraction(random) / 10)
}

/**
 * Can the same call be made again at once? Not while an answer to it may be under way, and not against
 * upstream's wish: a rotation whose answer was cut off waits for the next swap.
 */
export function isRetryable(error: unknown): boolean {
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
  for (let attempt = 0; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      if (attempt === 2 || !isRetryable(error)) throw error
      const asked = isEllipsisError(error) ? (error.retryAfterMs ?? 0) : 0
      const pause = Math.max(asked, backoff(attempt, 250, SECOND, needs.random))
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
}

/** Told when a refusal follows on a refresh that was cut off: upstream may have rotated unheard. */
const ANSWER_LOST =
  'the answer to an earlier refresh was lost, and with it the refresh token that it may have carried'

/** Told when the refused token comes from a backup, and may have been replaced after it was made. */
const restored = (from: Millis): string =>
  `restored from a backup of ${new Date(from).toISOString()}: the token in it had been superseded, or revoked`

/** So many unclear answers in a row, while others are refreshed, are taken for a refusal. */
const UNCLEAR = 8

/**
 * @param context `cutOff`: the last refresh never ended, as its lease was left behind; `othersWork`: other
 *   connections were refreshed lately, so that neither upstream nor the broker's client is to blame
 */
export function judge(
  error: EllipsisError,
  connection: Pick<Connection, 'status' | 'failures' | 'lastError' | 'restoredFrom'>,
  context: { cutOff: boolean; othersWork: boolean; now: Millis; random: Random },
): Verdict {
  const { status, failures, lastError } = connection
  const { now, random } = context
  const lost = context.cutOff || lastError?.includes(ANSWER_LOST) === true
  const unclear = error.status !== null && error.status >= 400 && error.status < 500
  const refused =
    error.kind === 'refused' ||
    (unclear && error.status !== 429 && failures >= UNCLEAR && context.othersWork)
  if (refused) {
    const refusals = status === 'needs_reconnect' ? failures : 0
    const reason =
      connection.restoredFrom !== null
        ? restored(connection.restoredFrom)
        : lost
          ? ANSWER_LOST
          : 'it was revoked there, or has ended'
    const words = `Ellipsis Drive refused the refresh token: ${reason}`
    return {
      refused,
      status: 'needs_reconnect',
      lastError: words,
      retryAt: now + refusedPause(refusals, random),
    }
  }
  const words = lost || error.maybeApplied ? `${error.message}; ${ANSWER_LOST}` : error.message
  return {
    refused,
    status: status === 'active' ? 'active' : 'needs_reconnect',
    lastError: words,
    retryAt: now + transientPause(error, failures, random),
  }
}
