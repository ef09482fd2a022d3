/** Set by `npm run test:long`: repetitions run at their full size. */
export const isLong = process.env.TEST_LONG === '1'

/** How often a test repeats something: for seconds in `npm test`, at its full size in `npm run test:long`. */
export const size = (short: number, long: number): number => (isLong ? long : short)
