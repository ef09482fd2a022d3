/** A part of a body: its first and last byte. */
export interface ByteRange {
  start: number
  end: number
}

/**
 * The single part that a `Range` header asks for (RFC 9110 14.1.2). `unsatisfiable`: it begins behind the end of
 * the body. `null`: several parts, or another unit.
 */
export function readRange(header: string, bodyBytes: number): ByteRange | 'unsatisfiable' | null {
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header) ?? []
  if (first === '' && last === '') return null
  if (first === '') {
    const length = Math.min(Number(last), bodyBytes)
    return length === 0 ? 'unsatisfiable' : { start: bodyBytes - length, end: bodyBytes - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return null
  if (start >= bodyBytes) return 'unsatisfiable'
  return { start, end: last === '' ? bodyBytes - 1 : Math.min(Number(last), bodyBytes - 1) }
}
