/**
 * How calls upstream begin again after an outage. Everyone waits for them by then; all at once they would be
 * the next outage. In the first second no more than in any second before it; then ten times as many each
 * second, so that what a minute has held up is done within four.
 */

/** Longest wait for a turn, milliseconds: from then on everyone is let through. */
export const SLOW_START_MS = 4000
/** Growth a second, once the first has gone by. */
const GROWTH = 10
/** Calls a second that are few to any upstream. */
const FEW = 5

/** When the `nth` call (from 0) may be made, milliseconds from the begin, at `rate` calls a second. */
export function slowStartDelayMs(nth: number, rate: number): number {
  const seconds = nth / Math.max(rate, FEW)
  const at =
    seconds <= 1 ? seconds : 1 + Math.log1p((seconds - 1) * Math.log(GROWTH)) / Math.log(GROWTH)
  return Math.min(at * 1000, SLOW_START_MS)
}

/** What is remembered of the rate, milliseconds. */
const MEMORY = 60_000

/** Measures a rate: what went by long ago counts less and less. */
export class Rate {
  #count = 0
  #seen = 0
  #at: number | null = null

  /** One more, at `now` (milliseconds of a steady clock). */
  add(now: number): void {
    const gone = now - (this.#at ?? now)
    const kept = Math.exp(-gone / MEMORY)
    this.#count = this.#count * kept + 1
    this.#seen = this.#seen * kept + gone
    this.#at = now
  }

  /** The time until the next one doesn't count. */
  interrupt(): void {
    this.#at = null
  }

  /** A second; 0 until some have gone by. */
  get perSecond(): number {
    return this.#seen === 0 ? 0 : (this.#count / this.#seen) * 1000
  }
}
