import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Bounds, Theme } from './terrain/draw.ts'
import { drawPng } from './terrain/draw.ts'
import { stableId } from './users.ts'

/** What a raster shows, and where. */
export interface RasterContent {
  theme: Theme
  /** Degrees (EPSG:4326). */
  extent: Bounds
}

/** The part of a drive's node that matters here. */
interface RasterNode {
  id: string
  item: { raster?: RasterContent }
}

/** The latitude at which Web Mercator ends. */
const MAX_LATITUDE = 85.0511
export const WORLD: Bounds = { xMin: -180, xMax: 180, yMin: -MAX_LATITUDE, yMax: MAX_LATITUDE }
export const PROVENCE: Bounds = { xMin: 3.4, xMax: 8, yMin: 42.7, yMax: 45.3 }

/** The content of samples that do not say what they show. */
const defaultContent: RasterContent = { theme: 'relief', extent: PROVENCE }

export const contentOf = ({ item }: RasterNode): RasterContent => item.raster ?? defaultContent
export const timestampIdOf = (node: RasterNode): string => stableId(`timestamp/${node.id}`)
export const styleIdOf = (node: RasterNode): string => stableId(`style/${node.id}`)

export const TILE_SIZE_PIXELS = 256
/** The zoom level of the data. Clients enlarge these tiles. */
export const DATA_ZOOM = 14
/** Tiles of higher levels do not exist. */
export const MAX_ZOOM = 20
const MAX_CACHE_BYTES = 32 * 1024 ** 2

export interface Tile {
  png: Buffer
  /** Strong. */
  etag: string
}

/** Draws tiles, and keeps those that were asked for last. */
export class Tiles {
  readonly #drawn = new LRUCache<string, Tile>({
    maxSize: MAX_CACHE_BYTES,
    sizeCalculation: ({ png }) => png.length,
  })

  /** The tile of a raster; transparent outside its extent. */
  get(node: RasterNode, z: number, x: number, y: number): Tile {
    const key = `${node.id}/${z}/${x}/${y}`
    const drawn = this.#drawn.get(key)
    if (drawn) return drawn
    const size = 1 / 2 ** z
    const png = drawRaster(
      node,
      pixelCentres(x * size, (x + 1) * size, TILE_SIZE_PIXELS),
      pixelCentres(y * size, (y + 1) * size, TILE_SIZE_PIXELS),
    )
    const tile = { png, etag: `"${createHash('sha256').update(png).digest('base64url')}"` }
    this.#drawn.set(key, tile)
    return tile
  }
}

/**
 * Draws part of a raster as PNG.
 * @param xs, ys pixel centres as fractions of the world, see heights.ts
 */
export function drawRaster(node: RasterNode, xs: Float64Array, ys: Float64Array): Buffer {
  const { theme, extent } = contentOf(node)
  return drawPng({ theme, extent: toWorld(extent), xs, ys })
}

/** The centres of equal pixels between two positions. */
export const pixelCentres = (from: number, to: number, pixels: number): Float64Array =>
  Float64Array.from({ length: pixels }, (_, pixel) => from + ((pixel + 0.5) * (to - from)) / pixels)

/** Degrees to fractions of the world. */
export const longitudeToWorld = (degrees: number): number => (degrees + 180) / 360
export function latitudeToWorld(degrees: number): number {
  const radians = (Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, degrees)) * Math.PI) / 180
  return (1 - Math.asinh(Math.tan(radians)) / Math.PI) / 2
}

export const toWorld = ({ xMin, xMax, yMin, yMax }: Bounds): Bounds => ({
  xMin: longitudeToWorld(xMin),
  xMax: longitudeToWorld(xMax),
  yMin: latitudeToWorld(yMax),
  yMax: latitudeToWorld(yMin),
})
