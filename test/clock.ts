import type { SteadyClock } from '../server/runtime.ts'
import { runtime } from '../server/runtime.ts'

/** Sleeps this long are time limits. They end by `advance` alone: a slow machine reaches none. */
const LIMITS_FROM_MS = 8000

/** A clock that a test can move. */
export interface TestClock extends SteadyClock {
  /** Milliseconds. Wakes everyone whose moment has come. */
  advance(by: number): void
  /** Moves by `advance` alone from now on: for limits that a slow machine would reach by itself. */
  stop(): void
  /** Resolves when someone sleeps who asked for exactly that many milliseconds. */
  asleep(milliseconds: number): Promise<void>
  /** Until `work` ends, pauses take no time: the clock goes on by as much. Time limits aren’t skipped. */
  hurry<T>(work: Promise<T>): Promise<T>
}

interface Sleeper {
  milliseconds: number
  at: number
  /** A sleep that something else may end is a limit, or of a loop in the background. */
  isPause: boolean
  wake: () => void
}

/**
 * Goes on as the machine’s clock does, and by what a test advances it; sleeps that are shorter than a limit end in
 * real time too. A `frozen` one begins stopped.
 */
export function testClock({ frozen = false } = {}): TestClock {
  let stopped = frozen ? readMachine() : null
  let offset = 0
  let hurrying = 0
  const sleepers = new Set<Sleeper>()
  const watchers = new Set<{ milliseconds: number; tell: () => void }>()
  const now = () => (stopped?.now ?? Date.now()) + offset
  const steady = () => (stopped?.steady ?? runtime.clock.steady()) + offset

  const wakeDue = (): void => {
    const due = [...sleepers].filter(({ at }) => at <= steady())
    for (const { wake } of due.sort((one, other) => one.at - other.at)) wake()
  }

  const skip = (sleeper: Sleeper): void => {
    if (!sleepers.has(sleeper)) return
    offset += Math.max(0, sleeper.at - steady())
    wakeDue()
  }

  const sleep = (milliseconds: number, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const isLimit = milliseconds >= LIMITS_FROM_MS
      const timer = isLimit || stopped ? undefined : setTimeout(() => sleeper.wake(), milliseconds)
      const sleeper: Sleeper = {
        milliseconds,
        at: steady() + milliseconds,
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
      for (const watcher of watchers) if (watcher.milliseconds === milliseconds) watcher.tell()
      // Not at once: whoever pauses in a loop waits for others.
      if (hurrying > 0 && sleeper.isPause && !isLimit) setImmediate(skip, sleeper)
    })
  }

  return {
    now,
    steady,
    sleep,

    advance(by) {
      offset += by
      wakeDue()
    },

    asleep(milliseconds) {
      if ([...sleepers].some((sleeper) => sleeper.milliseconds === milliseconds)) {
        return Promise.resolve()
      }
      return new Promise((resolve) => {
        const watcher = { milliseconds, tell: () => (watchers.delete(watcher), resolve()) }
        watchers.add(watcher)
      })
    },

    stop() {
      stopped ??= readMachine()
    },

    async hurry(work) {
      hurrying++
      for (const sleeper of sleepers) {
        if (sleeper.isPause && sleeper.milliseconds < LIMITS_FROM_MS) skip(sleeper)
      }
      try {
        return await work
      } finally {
        hurrying--
      }
    },
  }
}

const readMachine = () => ({ now: Date.now(), steady: runtime.clock.steady() })
