const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A clock whose time goes by when told; those who sleep wake in their order. */
export function virtualClock() {
  let now = 0
  let sleepers: { at: number; wake: () => void }[] = []
  const clock = {
    now: () => now,
    steady: () => now,
    sleep: (milliseconds: number, signal?: AbortSignal) =>
      new Promise<void>((wake) => {
        sleepers.push({ at: now + milliseconds, wake })
        signal?.addEventListener('abort', () => wake())
      }),
  }
  const advance = async (milliseconds: number) => {
    const end = now + milliseconds
    for (;;) {
      await turn()
      const next = sleepers.toSorted((one, other) => one.at - other.at)[0]
      if (!next || next.at > end) break
      sleepers = sleepers.filter((one) => one !== next)
      now = Math.max(now, next.at)
      next.wake()
    }
    now = end
    await turn()
  }
  return { clock, advance }
}
