import type { Test } from 'tap'

/**
 * Makes a call for each option, all at once: exactly one takes effect, in any order, as engines do not keep the order of
 * calls.
 * @returns the option that won, then the others
 */
export async function race<T>(
  t: Test,
  options: T[],
  call: (option: T) => Promise<boolean>,
): Promise<[won: T, ...lost: T[]]> {
  const results = await Promise.all(options.map((option) => call(option)))
  t.equal(results.filter(Boolean).length, 1, 'one of those at once')
  const [won] = options.filter((_, n) => results[n])
  return [won as T, ...options.filter((_, n) => !results[n])]
}

/** Runs `call` for numbers from 0, fifty at a time: more would wait for the database longer than a call may. */
export async function repeat(count: number, call: (n: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += 50)
    await Promise.all(Array.from({ length: Math.min(50, count - from) }, (_, n) => call(from + n)))
}
