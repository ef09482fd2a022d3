import type { SteadyClock, Throttle } from '../runtime.ts'

/** Rest after a piece of work, as a multiple of its duration: while the event loop is busy, and otherwise. */
const BUSY_REST_FACTOR = 9
const IDLE_REST_FACTOR = 1
/** Share of the time above which the event loop counts as busy with other work. */
const BUSY_SHARE = 0.3
const MAX_REST_MS = 1000

/**
 * Limits all background work together: it leaves the event loop to requests for most of the time, so swaps
 * stay fast during exports, bulk revocations and sweeps. One piece of work should take a few milliseconds;
 * pieces run one after the other.
 * @param dependencies.active total time the event loop has been active, milliseconds
 */
export function createBackgroundThrottle(dependencies: {
  clock: SteadyClock
  active: () => number
}): Throttle {
  const { clock, active } = dependencies
  let last: Promise<unknown> = Promise.resolve()
  let isBusy = true

  const rest = async (tookMs: number): Promise<void> => {
    const [from, activeBefore] = [clock.steady(), active()]
    const factor = isBusy ? BUSY_REST_FACTOR : IDLE_REST_FACTOR
    await clock.sleep(Math.min(tookMs * factor, MAX_REST_MS))
    isBusy = active() - activeBefore > BUSY_SHARE * (clock.steady() - from)
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
