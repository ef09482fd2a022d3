const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

interface Sleeper {
  wakeAt: number
  /** Has no abort signal. A sleep with a signal is a time limit or belongs to a background loop. */
  isPause: boolean
  wake: () => void
}

/**
 * A clock that moves only by `advance`, which wakes sleepers in order of time.
 * @param options.now start, milliseconds since the epoch
 * @param options.settled resolves when the work that a step woke is done
 */
export function virtualClock({ now: start = 0, settled = nextTurn } = {}) {
  let now = start
  let sleepers: Sleeper[] = []
  const clock = {
    now: () => now,
    steady: () => now,
    sleep: (milliseconds: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        const sleeper = { wakeAt: now + milliseconds, isPause: signal === undefined, wake: resolve }
        sleepers.push(sleeper)
        signal?.addEventListener('abort', () => {
          sleepers = sleepers.filter((one) => one !== sleeper)
          resolve()
        })
      }),
  }
  const advance = async (milliseconds: number) => {
    const end = now + milliseconds
    for (;;) {
      await settled()
      const next = sleepers.toSorted((one, other) => one.wakeAt - other.wakeAt)[0]
      if (!next || next.wakeAt > end) break
      sleepers = sleepers.filter((one) => one !== next)
      now = Math.max(now, next.wakeAt)
      next.wake()
    }
    now = end
    await nextTurn()
  }
  /** Number of sleepers without an abort signal. */
  const pausing = () => sleepers.filter(({ isPause }) => isPause).length
  return { clock, advance, pausing }
}
