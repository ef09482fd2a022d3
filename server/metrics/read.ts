import { setTimeout } from 'node:timers/promises'

/** The aggregator of a metric that every worker would read from the same place: the one that is asked reads it. */
export const SHARED = 'first'

/** Prometheus waits ten seconds for all metrics. */
const READ_TIMEOUT_MS = 1000

/**
 * The value of a metric, or `null` if it can't be read within a second: one source that fails, such as a locked
 * database, must not hide the other metrics.
 */
export async function readWithin<T>(read: () => Promise<T>): Promise<T | null> {
  const done = new AbortController()
  const timeout = setTimeout(READ_TIMEOUT_MS, null, { signal: done.signal }).catch(() => null)
  try {
    return await Promise.race([read(), timeout])
  } catch {
    return null
  } finally {
    done.abort()
  }
}
