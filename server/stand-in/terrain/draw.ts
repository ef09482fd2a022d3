import { heightsAt } from './heights.ts'
import { encodePng } from './png.ts'

/** What a layer shows. `flood` covers low land only and is transparent elsewhere. */
export type Theme = 'relief' | 'land cover' | 'flood'

/** A rectangle in fractions of the world, see heights.ts. */
export interface Bounds {
  xMin: number
  xMax: number
  yMin: number
  yMax: number
}

/** What to draw: pixels at the crossings of columns and rows. */
export interface Picture {
  theme: Theme
  /** Nothing is drawn outside. */
  extent: Bounds
  /** Pixel centres, in fractions of the world, ascending. */
  xs: Float64Array
  ys: Float64Array
}

/** The circumference of the earth at the equator, in metres (EPSG:3857). */
export const WORLD_METRES = 2 * Math.PI * 6_378_137

/** Exaggerates slopes. More at small scales, where real ones would hardly show. */
const slopeFactor = (pixelMetres: number) => 1.3 * Math.max(1, (pixelMetres / 60) ** 0.5)

/** Draws the picture as a PNG with transparency. */
export function drawPng(picture: Picture): Buffer {
  return encodePng(drawPixels(picture), picture.xs.length, picture.ys.length)
}

/** Draws the picture. Returns 8-bit RGBA pixels, row by row. */
export function drawPixels({ theme, extent, xs, ys }: Picture): Uint8Array {
  const width = xs.length
  const pixels = new Uint8Array(width * ys.length * 4)
  if (!overlaps(extent, xs, ys)) return pixels
  const pixelSize = spacing(xs)
  // One more column and row on each side: slopes are differences of neighbours.
  const heights = heightsAt(withNeighbours(xs), withNeighbours(ys), pixelSize)
  const stride = width + 2
  const pixelMetres = pixelSize * WORLD_METRES
  const slope = slopeFactor(pixelMetres) / (2 * pixelMetres)
  const colours = COLOURS[theme]
  for (let row = 0; row < ys.length; row++) {
    if (ys[row]! < extent.yMin || ys[row]! > extent.yMax) continue
    for (let column = 0; column < width; column++) {
      if (xs[column]! < extent.xMin || xs[column]! > extent.xMax) continue
      const at = (row + 1) * stride + column + 1
      const height = heights[at]!
      const toEast = (heights[at + 1]! - heights[at - 1]!) * slope
      const toSouth = (heights[at + stride]! - heights[at - stride]!) * slope
      const light = height > 0 ? shade(toEast, toSouth) : seaShade(toEast, toSouth)
      const steepness = toEast * toEast + toSouth * toSouth
      const colour = colours(height, steepness)
      const to = (row * width + column) * 4
      pixels[to] = Math.min(255, (colour >>> 24) * light)
      pixels[to + 1] = Math.min(255, ((colour >>> 16) & 255) * light)
      pixels[to + 2] = Math.min(255, ((colour >>> 8) & 255) * light)
      pixels[to + 3] = colour & 255
    }
  }
  return pixels
}

const overlaps = (extent: Bounds, xs: Float64Array, ys: Float64Array) =>
  xs[xs.length - 1]! >= extent.xMin &&
  xs[0]! <= extent.xMax &&
  ys[ys.length - 1]! >= extent.yMin &&
  ys[0]! <= extent.yMax

const spacing = (positions: Float64Array) =>
  positions.length > 1 ? positions[1]! - positions[0]! : 1 / 2 ** 12

function withNeighbours(positions: Float64Array): Float64Array {
  const step = spacing(positions)
  const more = new Float64Array(positions.length + 2)
  more.set(positions, 1)
  more[0] = positions[0]! - step
  more[more.length - 1] = positions[positions.length - 1]! + step
  return more
}

/** Brightness of a slope: light from the north-west, 45° high; 1 on flat ground. */
function shade(toEast: number, toSouth: number): number {
  const light = (0.5 * (toEast + toSouth) + 0.7071) / Math.sqrt(1 + toEast ** 2 + toSouth ** 2)
  return 0.42 + 0.82 * Math.max(0.05, light)
}

/** The sea floor shows only faintly. */
const seaShade = (toEast: number, toSouth: number) =>
  1 + 0.12 * Math.max(-1, Math.min(1, toEast + toSouth))

type ColourAt = (height: number, steepness: number) => number

/** A colour for each step of height; between the given heights it changes gradually. */
function ramp(stops: [height: number, rgba: number][]): ColourAt {
  const lowest = stops[0]![0]
  const highest = stops.at(-1)![0]
  const steps = 1_024
  const perMetre = (steps - 1) / (highest - lowest)
  const table = Uint32Array.from({ length: steps }, (_, step) => {
    const height = lowest + step / perMetre
    const next = Math.max(
      1,
      stops.findIndex(([stop]) => stop >= height - 1e-6),
    )
    const [from, to] = [stops[next - 1]!, stops[next]!]
    return mix(from[1], to[1], (height - from[0]) / (to[0] - from[0]))
  })
  return (height) =>
    table[
      height <= lowest ? 0 : height >= highest ? steps - 1 : ((height - lowest) * perMetre) | 0
    ]!
}

function mix(from: number, to: number, share: number): number {
  const channel = (shift: number) =>
    Math.round(((from >>> shift) & 255) * (1 - share) + ((to >>> shift) & 255) * share) << shift
  return (channel(24) | channel(16) | channel(8) | channel(0)) >>> 0
}

const sea: [number, number][] = [
  [-3_000, 0x2b5f8aff],
  [-900, 0x3f7fa8ff],
  [-200, 0x6aa9c8ff],
  [-0.01, 0xa5d3dfff],
]

const relief = ramp([
  ...sea,
  [0, 0xd9d9aeff],
  [60, 0xa9c48bff],
  [350, 0x86ad6fff],
  [800, 0xb7b67cff],
  [1_300, 0xc29d6aff],
  [1_900, 0xa67c58ff],
  [2_500, 0x9d8c80ff],
  [2_900, 0xe2e2e4ff],
  [3_300, 0xfdfdffff],
])

const lowland = ramp([
  ...sea,
  [0, 0xe6dfb3ff],
  [30, 0xd7e0a0ff],
  [180, 0xc4d58cff],
  [480, 0x7fae66ff],
  [1_400, 0x4f8a52ff],
  [1_900, 0x93a96bff],
  [2_300, 0xb3ad97ff],
  [2_800, 0xf2f2f4ff],
])
/** Forest, and rock where it is steep. */
const landCover: ColourAt = (height, steepness) => {
  if (height <= 0) return lowland(height, steepness)
  if (steepness > 1.1) return height > 900 ? 0xa39a90ff : 0x6c9a5cff
  return steepness > 0.12 && height < 1_700 ? 0x5f9457ff : lowland(height, steepness)
}

const flood = ramp([
  [-1, 0x1f6fd800],
  [0, 0x1f4fc8c8],
  [25, 0x2f7fe0a8],
  [70, 0x6fb4f080],
  [110, 0xa0d0ff00],
])

const COLOURS: Record<Theme, ColourAt> = { relief, 'land cover': landCover, flood }
