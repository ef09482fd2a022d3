/** Encodes a position in a listing: two values of a row, and whether the page lies before or after it. */
export const encodeCursor = (isBackward: boolean, first: number, second: number | string): string =>
  Buffer.from(JSON.stringify([isBackward ? 1 : 0, first, second])).toString('base64url')

/** Decodes a cursor. `null` if it is invalid: cursors come from URLs, where people may write anything. */
export function decodeCursor(
  cursor: string | null,
): { isBackward: boolean; first: number; second: number | string } | null {
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor ?? '', 'base64url').toString())
    if (!Array.isArray(values)) return null
    const [direction, first, second] = values as unknown[]
    if (!isInteger(first) || !(isInteger(second) || typeof second === 'string')) return null
    return { isBackward: direction === 1, first, second }
  } catch {
    return null
  }
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value)
