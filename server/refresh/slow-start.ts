/**
 * Spreads the upstream calls that waited for the end of an outage; all at once, they would cause the next
 * outage. The first second gets no more calls than a second before the outage. The rate then grows tenfold
 * each second, so a minute's backlog is done within four seconds.
 */

/** Longest delay of a call; after this time, calls are no longer delayed. */
export const SLOW_START_MS = 4000
/** Growth of the rate per second, after the first second. */
const GROWTH_FACTOR = 10
/** A rate that no upstream finds high. */
const MIN_CALLS_PER_SECOND = 5

/** Delay of the `nth` call (from 0) after an outage, milliseconds, at `rate` calls per second before it. */
export function slowStartDelayMs(nth: number, rate: number): number {
  const seconds = nth / Math.max(rate, MIN_CALLS_PER_SECOND)
  const delaySeconds =
    seconds <= 1
      ? seconds
      : 1 + Math.log1p((seconds - 1) * Math.log(GROWTH_FACTOR)) / Math.log(GROWTH_FACTOR)
  return Math.min(delaySeconds * 1000, SLOW_START_MS)
}

/** Time constant of the average. */
const RATE_MEMORY_MS = 60_000

/** Measures a call rate as an exponentially weighted average. */
export class CallRate {
  #count = 0
  #elapsedMs = 0
  #lastAt: number | null = null

  /** Records a call at `now`, milliseconds of a steady clock. */
  add(now: number): void {
    const sinceLastMs = now - (this.#lastAt ?? now)
    const weight = Math.exp(-sinceLastMs / RATE_MEMORY_MS)
    this.#count = this.#count * weight + 1
    this.#elapsedMs = this.#elapsedMs * weight + sinceLastMs
    this.#lastAt = now
  }

  /** Excludes the time until the next call from the average. */
  interrupt(): void {
    this.#lastAt = null
  }

  /** Calls per second; 0 until two calls were recorded. */
  get perSecond(): number {
    return this.#elapsedMs === 0 ? 0 : (this.#count / this.#elapsedMs) * 1000
  }
}
