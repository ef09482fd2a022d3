/** Limits how many callers work at once; the others wait in order. */
interface Semaphore {
  /** Waits for a slot. Returns the function that releases it; calling that twice is harmless. */
  acquire(): Promise<() => void>
  /** Frees all slots, and lets every waiting caller continue without one. */
  reset(): void
}

export function createSemaphore(slots: number): Semaphore {
  const queue: ((release: () => void) => void)[] = []
  let held = new Set<symbol>()

  const takeSlot = (): (() => void) => {
    const slot = Symbol('slot')
    held.add(slot)
    return () => {
      if (held.delete(slot)) queue.shift()?.(takeSlot())
    }
  }

  return {
    acquire: () =>
      held.size < slots
        ? Promise.resolve(takeSlot())
        : new Promise((resolve) => queue.push(resolve)),
    reset() {
      held = new Set()
      for (const resolve of queue.splice(0)) resolve(() => undefined)
    },
  }
}
