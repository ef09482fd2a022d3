import type { Bounds } from './draw.ts'
import { WORLD_METRES } from './draw.ts'
import { heightsAt } from './heights.ts'

const TILE_PIXELS = 256
const TILE_BYTES = TILE_PIXELS ** 2 * 2
/** The picture and two overviews of it, each half as wide and high. */
const WIDTHS_PIXELS = [1_024, 512, 256]

const SHORT = 3
const LONG = 4
const DOUBLE = 12
const BYTES_PER_VALUE = { [SHORT]: 2, [LONG]: 4, [DOUBLE]: 8 }
type Tag = [id: number, type: keyof typeof BYTES_PER_VALUE, values: number[]]

const HEADER_BYTES = 8
const ENTRY_BYTES = 12
const MAX_DIRECTORY_BYTES = 1_024
const FIRST_TILE_OFFSET = HEADER_BYTES + WIDTHS_PIXELS.length * MAX_DIRECTORY_BYTES

const tileCount = (width: number) => (width / TILE_PIXELS) ** 2
const tilesBefore = (level: number) =>
  WIDTHS_PIXELS.slice(0, level).reduce((sum, width) => sum + tileCount(width), 0)

/** The size of every file of `encodeGeotiff`: it is not compressed. */
export const GEOTIFF_SIZE_BYTES = FIRST_TILE_OFFSET + tilesBefore(WIDTHS_PIXELS.length) * TILE_BYTES

/**
 * Heights in metres as a GeoTIFF in EPSG:3857 (OGC 19-008): 16-bit numbers, in tiles, with
 * overviews, and all directories at the start, so that readers fetch only the ranges they need.
 * @param extent a square begins in its north-western corner and is as wide; fractions of the world
 */
export function encodeGeotiff(extent: Bounds): Buffer {
  const file = Buffer.alloc(GEOTIFF_SIZE_BYTES)
  file.write('II', 'latin1')
  file.writeUInt16LE(42, 2)
  file.writeUInt32LE(HEADER_BYTES, 4)
  WIDTHS_PIXELS.forEach((width, level) => {
    const isLast = level === WIDTHS_PIXELS.length - 1
    const offset = HEADER_BYTES + level * MAX_DIRECTORY_BYTES
    const tags = describeLevel(width, level, extent)
    writeDirectory(file, offset, tags, isLast ? 0 : offset + MAX_DIRECTORY_BYTES)
    writeTiles(file, tileOffset(level, 0), width, extent)
  })
  return file
}

const tileOffset = (level: number, index: number) =>
  FIRST_TILE_OFFSET + (tilesBefore(level) + index) * TILE_BYTES

/** The tags of one picture, by ascending id. */
function describeLevel(width: number, level: number, extent: Bounds): Tag[] {
  const offsets = Array.from({ length: tileCount(width) }, (_, index) => tileOffset(level, index))
  return [
    [254, LONG, [level === 0 ? 0 : 1]], // an overview
    [256, LONG, [width]],
    [257, LONG, [width]],
    [258, SHORT, [16]], // bits
    [259, SHORT, [1]], // not compressed
    [262, SHORT, [1]], // black is zero
    [277, SHORT, [1]], // one band
    [322, SHORT, [TILE_PIXELS]],
    [323, SHORT, [TILE_PIXELS]],
    [324, LONG, offsets],
    [325, LONG, offsets.map(() => TILE_BYTES)],
    [339, SHORT, [2]], // signed
    ...(level === 0 ? georeference(width, extent) : []),
  ]
}

function georeference(width: number, { xMin, xMax, yMin }: Bounds): Tag[] {
  const pixelMetres = ((xMax - xMin) * WORLD_METRES) / width
  const west = (xMin - 0.5) * WORLD_METRES
  const north = (0.5 - yMin) * WORLD_METRES
  const keys = [
    [1, 1, 0, 3],
    [1024, 0, 1, 1], // projected
    [1025, 0, 1, 1], // a pixel is an area
    [3072, 0, 1, 3857],
  ]
  return [
    [33550, DOUBLE, [pixelMetres, pixelMetres, 0]],
    [33922, DOUBLE, [0, 0, 0, west, north, 0]],
    [34735, SHORT, keys.flat()],
  ]
}

/** Values of more than four bytes follow the directory. */
function writeDirectory(file: Buffer, start: number, tags: Tag[], next: number): void {
  let entry = start + 2
  let overflow = entry + tags.length * ENTRY_BYTES + 4
  file.writeUInt16LE(tags.length, start)
  for (const [id, type, values] of tags) {
    const size = BYTES_PER_VALUE[type]
    file.writeUInt16LE(id, entry)
    file.writeUInt16LE(type, entry + 2)
    file.writeUInt32LE(values.length, entry + 4)
    const isInline = size * values.length <= 4
    let at = isInline ? entry + 8 : overflow
    if (!isInline) file.writeUInt32LE(overflow, entry + 8)
    for (const value of values) {
      if (type === DOUBLE) file.writeDoubleLE(value, at)
      else file.writeUIntLE(value, at, size)
      at += size
    }
    if (!isInline) overflow = at + (at % 2)
    entry += ENTRY_BYTES
  }
  file.writeUInt32LE(next, entry)
}

function writeTiles(file: Buffer, offset: number, width: number, { xMin, xMax, yMin }: Bounds) {
  const pixel = (xMax - xMin) / width
  const centres = (from: number, first: number) =>
    Float64Array.from({ length: TILE_PIXELS }, (_, index) => from + (first + index + 0.5) * pixel)
  let at = offset
  for (let top = 0; top < width; top += TILE_PIXELS) {
    for (let left = 0; left < width; left += TILE_PIXELS) {
      for (const height of heightsAt(centres(xMin, left), centres(yMin, top), pixel)) {
        at = file.writeInt16LE(Math.round(height), at)
      }
    }
  }
}
