import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'

/** Compares this machine's clock with that of Ellipsis Drive. */
export interface ClockOffset {
  /** @param date the `Date` header of an answer that has just arrived */
  record(date: string | null): void
  /** Seconds that this machine's clock is ahead, to about a second; `null`: unknown. */
  seconds(): number | null
}

/** From here on, token lifetimes are noticeably wrong. */
export const MAX_CLOCK_OFFSET_SECONDS = 60

const FIX = 'set the clock and keep it right with NTP: token lifetimes depend on it'

/** Logs a wrong clock once, and that it is right again. */
export function createClockOffset({ clock, log }: { clock: Clock; log: Log }): ClockOffset {
  let offsetSeconds: number | null = null
  let isWrong = false
  return {
    record(date) {
      const upstreamNow = Date.parse(date ?? '')
      if (Number.isNaN(upstreamNow)) return
      offsetSeconds = Math.round((clock.now() - upstreamNow) / 1000)
      const wasWrong = isWrong
      isWrong = Math.abs(offsetSeconds) >= MAX_CLOCK_OFFSET_SECONDS
      if (isWrong && !wasWrong) {
        log.warn({}, `this machine’s clock is ${describeClockOffset(offsetSeconds)}: ${FIX}`)
      }
      if (wasWrong && !isWrong) log.info({}, 'this machine’s clock is right again')
    },
    seconds: () => offsetSeconds,
  }
}

/** @param seconds that this machine's clock is ahead */
export const describeClockOffset = (seconds: number): string =>
  `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} Ellipsis Drive’s clock`
