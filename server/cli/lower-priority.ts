import { constants, getPriority, setPriority } from 'node:os'

/** Nobody waits for this command, and swaps come first. Where this isn’t allowed, it takes its share. */
export function lowerPriority(): void {
  try {
    setPriority(Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL))
    /* c8 ignore next 3 -- a sandbox that forbids it */
  } catch {
    return
  }
}
