import { constants, getPriority, setPriority } from 'node:os'

/** Gives this process only what others leave of the processor, so that swaps come first. Does nothing where that is forbidden. */
export function lowerPriority(): void {
  try {
    setPriority(Math.max(getPriority(), constants.priority.PRIORITY_LOW))
    /* c8 ignore next 3 -- a sandbox that forbids it */
  } catch {
    return
  }
}
