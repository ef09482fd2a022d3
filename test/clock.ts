import type { Clock, SteadyClock } from '../server/runtime.ts'
import { runtime } from '../server/runtime.ts'

/** Sleeps of this length or more are time limits. Only `advance` ends them, so a slow machine reaches none. */
const MIN_LIMIT_MS = 8000

/** A clock that a test can move. */
export interface TestClock extends SteadyClock {
  /** Moves the clock and wakes all sleepers whose time has come. */
  advance(byMs: number): void
  /** From now on only `advance` moves the clock: for short limits that a slow machine would reach by itself. */
  stop(): void
  /** How many sleeps of exactly that many milliseconds there are, for example time limits. */
  countAsleep(milliseconds: number): number
  /** Resolves when there is a sleep of exactly that many milliseconds. */
  asleep(milliseconds: number): Promise<void>
  /** Skips pauses until `work` ends, by moving the clock. Time limits are not skipped. */
  hurry<T>(work: Promise<T>): Promise<T>
}

interface Sleeper {
  milliseconds: number
  wakeAt: number
  /** Has no abort signal. A sleep with a signal is a time limit or belongs to a background loop. */
  isPause: boolean
  wake: () => void
}

/**
 * A clock that runs in real time and that a test can advance. Sleeps shorter than a limit also end in real time.
 * @param options.frozen begin stopped
 */
export function testClock({ frozen = false } = {}): TestClock {
  let stoppedAt = frozen ? readRealTime() : null
  let offsetMs = 0
  let hurryCount = 0
  const sleepers = new Set<Sleeper>()
  const watchers = new Set<{ milliseconds: number; notify: () => void }>()
  const now = () => (stoppedAt?.now ?? Date.now()) + offsetMs
  const steady = () => (stoppedAt?.steady ?? runtime.clock.steady()) + offsetMs

  const countAsleep = (milliseconds: number): number =>
    [...sleepers].filter((sleeper) => sleeper.milliseconds === milliseconds).length

  const wakeDue = (): void => {
    const due = [...sleepers].filter(({ wakeAt }) => wakeAt <= steady())
    for (const { wake } of due.sort((one, other) => one.wakeAt - other.wakeAt)) wake()
  }

  const skip = (sleeper: Sleeper): void => {
    if (!sleepers.has(sleeper)) return
    offsetMs += Math.max(0, sleeper.wakeAt - steady())
    wakeDue()
  }

  const sleep = (milliseconds: number, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const isLimit = milliseconds >= MIN_LIMIT_MS
      const timer =
        isLimit || stoppedAt ? undefined : setTimeout(() => sleeper.wake(), milliseconds)
      const sleeper: Sleeper = {
        milliseconds,
        wakeAt: steady() + milliseconds,
        isPause: signal === undefined,
        wake() {
          clearTimeout(timer)
          signal?.removeEventListener('abort', sleeper.wake)
          sleepers.delete(sleeper)
          resolve()
        },
      }
      sleepers.add(sleeper)
      signal?.addEventListener('abort', sleeper.wake)
      for (const watcher of watchers) if (watcher.milliseconds === milliseconds) watcher.notify()
      // Not immediately: a loop with pauses waits for other work.
      if (hurryCount > 0 && sleeper.isPause && !isLimit) setImmediate(skip, sleeper)
    })
  }

  return {
    now,
    steady,
    sleep,

    advance(byMs) {
      offsetMs += byMs
      wakeDue()
    },

    countAsleep,

    asleep(milliseconds) {
      if (countAsleep(milliseconds) > 0) return Promise.resolve()
      return new Promise((resolve) => {
        const watcher = { milliseconds, notify: () => (watchers.delete(watcher), resolve()) }
        watchers.add(watcher)
      })
    },

    stop() {
      stoppedAt ??= readRealTime()
    },

    async hurry(work) {
      hurryCount++
      for (const sleeper of sleepers) {
        if (sleeper.isPause && sleeper.milliseconds < MIN_LIMIT_MS) skip(sleeper)
      }
      try {
        return await work
      } finally {
        hurryCount--
      }
    },
  }
}

const readRealTime = () => ({ now: Date.now(), steady: runtime.clock.steady() })

/**
 * Shortens the pauses of a clock to a millisecond. Sleeps with an abort signal are time limits and stay as they
 * are. Returns a function that restores the clock.
 */
export function skipPauses(clock: Pick<Clock, 'sleep'>): () => void {
  const { sleep } = clock
  clock.sleep = (milliseconds, signal) => sleep(signal ? milliseconds : 1, signal)
  return () => {
    clock.sleep = sleep
  }
}
