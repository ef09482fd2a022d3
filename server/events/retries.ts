import type { Millis } from '../../db/store.ts'
import { fraction } from '../runtime.ts'
import type { Random } from '../runtime.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

/** Pauses after the first, second, … failed attempt: the schedule that Standard Webhooks recommends. */
const PAUSES_MS = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
]
/** Random part of a pause, so that many events do not come back at once. */
const JITTER = 0.1
/** The longest pause that a receiver can ask for. */
const MAX_RETRY_AFTER_MS = 24 * HOUR_MS
export const MAX_PAUSE_MS = MAX_RETRY_AFTER_MS * (1 + JITTER)
/** Events of a receiver that is down are given up after this time, even if it was too busy for all attempts. */
const MAX_AGE_MS = 5 * 24 * HOUR_MS

export const MAX_ATTEMPTS = PAUSES_MS.length + 1

/**
 * When a delivery is tried again; `null`: it is given up.
 * @param failed.attempts how often it was tried, with the attempt that failed
 */
export function nextAttemptAt(
  failed: { attempts: number; createdAt: Millis; retryAfterMs?: number | undefined },
  { now, random }: { now: Millis; random: Random },
): Millis | null {
  const pauseMs = PAUSES_MS[failed.attempts - 1]
  if (pauseMs === undefined || now - failed.createdAt > MAX_AGE_MS) return null
  const askedMs = Math.min(failed.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
  return now + Math.round(Math.max(pauseMs, askedMs) * (1 + JITTER * fraction(random)))
}

/** Failures in a row after which a sink counts as down: then only one attempt at a time tests it. */
const FAILURES_TO_PAUSE = 3
const MAX_SINK_PAUSE_MS = 5 * MINUTE_MS

/** How long no attempt is made for a sink that failed `failures` times in a row, milliseconds. */
export const sinkPauseMs = (failures: number): number =>
  failures < FAILURES_TO_PAUSE
    ? 0
    : Math.min(MAX_SINK_PAUSE_MS, 5 * SECOND_MS * 2 ** (failures - FAILURES_TO_PAUSE))
