import { BrokerError } from '../errors.ts'
import type { SteadyClock } from '../runtime.ts'

/**
 * Spreads the refreshes that apps cause without their users: a nightly job asks for thousands of tokens at once,
 * and Ellipsis Drive throttles the broker as a whole.
 */
export interface RefreshPace {
  /**
   * Waits for the turn of one refresh; turns are evenly spaced.
   * @param isWaived checked while waiting: `true` ends the wait
   * @throws BrokerError `slow_down` at once, if the turn would come too late for the request
   */
  wait(isWaived: () => boolean): Promise<void>
}

/** A request waits for a token at most ten seconds in all; the call itself takes some of them. */
const MAX_WAIT_MS = 5000
const CHECK_INTERVAL_MS = 250

export function createRefreshPace(deps: {
  clock: SteadyClock
  refreshesPerSecond: number
}): RefreshPace {
  const { clock, refreshesPerSecond } = deps
  const intervalMs = 1000 / refreshesPerSecond
  /** When the next turn is free, milliseconds of the steady clock. */
  let nextAt = -Infinity
  /** When the latest turn began. A turn that began late delays the next ones, which would follow too closely. */
  let begunAt = -Infinity

  return {
    async wait(isWaived) {
      if (isWaived()) return
      const now = clock.steady()
      const turnAt = Math.max(now, nextAt)
      if (turnAt - now > MAX_WAIT_MS) {
        const retryAfter = Math.ceil((turnAt - now - MAX_WAIT_MS) / 1000)
        const description =
          'The app asks for more new access tokens than this broker fetches without users. Wait as long as Retry-After says.'
        throw new BrokerError('slow_down', { description, retryAfter, reason: 'refresh_pace' })
      }
      nextAt = turnAt + intervalMs
      for (;;) {
        const at = clock.steady()
        const remainingMs = Math.max(turnAt, begunAt + intervalMs) - at
        if (remainingMs <= 0) begunAt = at
        if (remainingMs <= 0 || isWaived()) return
        await clock.sleep(Math.min(remainingMs, CHECK_INTERVAL_MS))
      }
    },
  }
}
