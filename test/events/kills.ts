/** Where a process that delivers events is killed. */
export const KILL_POINTS = [
  'before the event',
  'after the event',
  'after the lease',
  'before the deliveries',
  'after the deliveries',
  'before the attempt',
  'before the record',
  'after the record',
] as const

export type KillPoint = (typeof KILL_POINTS)[number]
