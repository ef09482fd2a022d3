/** Set by `npm run test:long`: tests repeat at full size. */
export const isLong = process.env.TEST_LONG === '1'

/** How often a test repeats something: `short` in `npm test`, `long` in `npm run test:long`. */
export const size = (short: number, long: number): number => (isLong ? long : short)
