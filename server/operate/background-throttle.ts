import type { SteadyClock, Throttle } from '../runtime.ts'

/** Share of the event loop's idle time that background work takes; the rest is for requests that come meanwhile. */
const SHARE_OF_IDLE_TIME = 0.5
/** Share of all time that it gets however busy the event loop is, so that it ends. */
const MIN_SHARE = 0.04
const MAX_REST_MS = 1000

/**
 * Limits all background work together: it leaves the event loop to requests for most of the time, so swaps
 * stay fast during exports, bulk revocations and sweeps. One piece of work should take a few milliseconds;
 * pieces run one after the other, and the rest between them is longer the busier the event loop is.
 * @param dependencies.active total time the event loop has been active, milliseconds
 */
export function createBackgroundThrottle(dependencies: {
  clock: SteadyClock
  active: () => number
}): Throttle {
  const { clock, active } = dependencies
  let last: Promise<unknown> = Promise.resolve()
  /** Share of the last rest that the event loop was busy with other work. */
  let load = 1

  const rest = async (tookMs: number): Promise<void> => {
    const [from, activeBefore] = [clock.steady(), active()]
    const share = Math.max(MIN_SHARE, SHARE_OF_IDLE_TIME * (1 - load))
    await clock.sleep(Math.min(tookMs / share - tookMs, MAX_REST_MS))
    const restedMs = clock.steady() - from
    if (restedMs > 0) load = (active() - activeBefore) / restedMs
  }

  return (piece) => {
    let startedAt = 0
    const result = last.then(() => {
      startedAt = clock.steady()
      return piece()
    })
    const rested = () => rest(clock.steady() - startedAt)
    last = result.then(rested, rested)
    return result
  }
}
