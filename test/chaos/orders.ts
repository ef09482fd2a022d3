/** Where a refresh can be cut off. */
export const POINTS = [
  'before the call',
  'after the answer',
  'before the commit',
  'after it',
] as const
export type Point = (typeof POINTS)[number]

export type Order =
  /** Dies the next time that a refresh comes to that point. */
  | { die: Point }
  /** Sets the clock on or back, milliseconds. */
  | { jump: number }
  /** Can write nothing for so long, milliseconds. */
  | { readOnly: number }
