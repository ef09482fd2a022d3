import { crc32, deflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const BYTES_PER_PIXEL = 4
const RGBA = 6
/** PNG 9.2: a byte is stored as the difference from the same channel of the pixel before. */
const FILTER_SUB = 1

/** Encodes 8-bit RGBA pixels, row by row, as PNG (ISO/IEC 15948). */
export function encodePng(pixels: Uint8Array, width: number, height: number): Buffer {
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head[8] = 8 // bits per channel
  head[9] = RGBA
  // Level 1: higher ones take several times as long, for a tenth of the size.
  const data = deflateSync(filterRows(pixels, width, height), { level: 1 })
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', head),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function filterRows(pixels: Uint8Array, width: number, height: number): Uint8Array {
  const rowLength = width * BYTES_PER_PIXEL
  const filtered = new Uint8Array((rowLength + 1) * height)
  let to = 0
  for (let row = 0; row < height; row++) {
    const start = row * rowLength
    filtered[to++] = FILTER_SUB
    for (let at = start; at < start + BYTES_PER_PIXEL; at++) filtered[to++] = pixels[at]!
    for (let at = start + BYTES_PER_PIXEL; at < start + rowLength; at++) {
      filtered[to++] = pixels[at]! - pixels[at - BYTES_PER_PIXEL]!
    }
  }
  return filtered
}

function chunk(type: string, data: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const content = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(content))
  return Buffer.concat([length, content, check])
}
