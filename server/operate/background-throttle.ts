import type { SteadyClock, Throttle } from '../runtime.ts'

/** Rest after a piece, in times of what it took: while others need the loop, and else. */
const REST_BUSY = 9
const REST_IDLE = 1
/** Above this part of the time, others need the loop. */
const BUSY = 0.3
/** Longest rest, milliseconds. */
const LONGEST = 1000

/**
 * The pace of all background work. All of its pieces together leave the event loop to others for most of
 * the time, so that swaps stay quick however much is exported, revoked or swept. A piece is to take some
 * milliseconds; nothing else is done between its parts.
 * @param needs.active how long the event loop has been at work in all, milliseconds
 */
export function createBackgroundThrottle(needs: {
  clock: SteadyClock
  active: () => number
}): Throttle {
  const { clock, active } = needs
  let last: Promise<unknown> = Promise.resolve()
  let busy = true

  const rest = async (tookMs: number): Promise<void> => {
    const [from, activeBefore] = [clock.steady(), active()]
    await clock.sleep(Math.min(tookMs * (busy ? REST_BUSY : REST_IDLE), LONGEST))
    busy = active() - activeBefore > BUSY * (clock.steady() - from)
  }

  return (piece) => {
    let beganAt = 0
    const result = last.then(() => {
      beganAt = clock.steady()
      return piece()
    })
    const rested = () => rest(clock.steady() - beganAt)
    last = result.then(rested, rested)
    return result
  }
}
