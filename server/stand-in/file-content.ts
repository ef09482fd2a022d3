import type { Item } from './sample-drives.ts'

const CHUNK_BYTES = 64 * 1024
const BLOCK_BYTES = 4 * 1024
const pattern = Buffer.from(
  Array.from({ length: CHUNK_BYTES }, (_, index) => (index * 167 + (index >> 8)) & 255),
)

/**
 * The bytes from `start` to `end` (not included) of a file that exists nowhere: a repeated pattern,
 * in which each block of 4 KiB begins with its offset, as 16 hexadecimal digits.
 */
export function* syntheticBytes(start: number, end: number): Generator<Buffer> {
  for (let base = start - (start % CHUNK_BYTES); base < end; base += CHUNK_BYTES) {
    const chunk = Buffer.from(pattern)
    for (let block = 0; block < CHUNK_BYTES; block += BLOCK_BYTES) {
      chunk.write((base + block).toString(16).padStart(16, '0'), block, 'latin1')
    }
    yield chunk.subarray(Math.max(0, start - base), Math.min(CHUNK_BYTES, end - base))
  }
}

/** The bytes of a file from `start` to `end` (not included); `null`: its content was not kept. */
export function readContent(item: Item, start: number, end: number): Iterable<Buffer> | null {
  if (!item.content) return syntheticBytes(start, end)
  const bytes = item.content()
  return bytes && [bytes.subarray(start, end)]
}

export interface ByteRange {
  start: number
  /** Not included. */
  end: number
}

/**
 * Reads a `Range` header with one range of bytes (RFC 9110 14.2). Others are ignored, as a server
 * may: `undefined`, the whole content. `null`: the range begins after the end.
 */
export function readRange(header: string | undefined, size: number): ByteRange | null | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  const [, first = '', last = ''] = match ?? []
  if (first === '' && last === '') return undefined
  if (first === '') return last === '0' ? null : toRange(size - Number(last), size, size)
  if (last !== '' && Number(last) < Number(first)) return undefined
  return toRange(Number(first), last === '' ? size : Number(last) + 1, size)
}

function toRange(start: number, end: number, size: number): ByteRange | null {
  return start >= size ? null : { start: Math.max(0, start), end: Math.min(end, size) }
}
