const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

interface Sleeper {
  at: number
  /** A sleep that something else may end is a limit, or of a loop in the background. */
  isPause: boolean
  wake: () => void
}

/**
 * A clock whose time goes by when told; those who sleep wake in their order.
 * @param options.now where it begins, milliseconds since the epoch; `settled`: resolves when what a step woke
 *   has done its work
 */
export function virtualClock({ now: start = 0, settled = turn } = {}) {
  let now = start
  let sleepers: Sleeper[] = []
  const clock = {
    now: () => now,
    steady: () => now,
    sleep: (milliseconds: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        const sleeper = { at: now + milliseconds, isPause: signal === undefined, wake: resolve }
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
      const next = sleepers.toSorted((one, other) => one.at - other.at)[0]
      if (!next || next.at > end) break
      sleepers = sleepers.filter((one) => one !== next)
      now = Math.max(now, next.at)
      next.wake()
    }
    now = end
    await turn()
  }
  /** How many pause: they go on when the clock does. */
  const pausing = () => sleepers.filter(({ isPause }) => isPause).length
  return { clock, advance, pausing }
}
