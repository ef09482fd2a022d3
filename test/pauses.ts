import type { Clock } from '../server/runtime.ts'

/**
 * Has the pauses of a clock pass at once, such as the one before a second try. What comes with a signal is the
 * limit of something, and stays as it is. Answers how to undo it.
 */
export function skipPauses(clock: Pick<Clock, 'sleep'>): () => void {
  const { sleep } = clock
  clock.sleep = (milliseconds, signal) => sleep(signal ? milliseconds : 1, signal)
  return () => {
    clock.sleep = sleep
  }
}
