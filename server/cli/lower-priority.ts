import { constants, getPriority, setPriority } from 'node:os'

/** Lowers this process's priority, so that swaps come first. Does nothing where that is forbidden. */
export function lowerPriority(): void {
  try {
    setPriority(Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL))
    /* c8 ignore next 3 -- a sandbox that forbids it */
  } catch {
    return
  }
}
