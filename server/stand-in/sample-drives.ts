import type { RasterContent } from './rasters.ts'
import { PROVENCE, toWorld, WORLD } from './rasters.ts'
import { encodeGeotiff, GEOTIFF_SIZE_BYTES } from './terrain/geotiff.ts'

export type ItemType = 'folder' | 'raster' | 'vector' | 'file' | 'pointCloud' | 'bookmark'

/** An item of a sample drive; `Drive` gives it an id. */
export interface Item {
  name: string
  type: ItemType
  description?: string
  hashtags?: string[]
  sizeBytes?: number
  children?: Item[]
  /** For files: all bytes, `null` if they were not kept. Default: synthetic bytes. */
  content?: () => Buffer | null
  /** For rasters; default: relief of Provence. */
  raster?: RasterContent
  trashed?: true
  favorite?: true
  /** Visible without a token. */
  public?: true
  /** Usernames of the users who may see it. */
  sharedWith?: string[]
}

let geotiff: Buffer | undefined
/** Encoded when it is first read. */
const provenceGeotiff = () => (geotiff ??= encodeGeotiff(toWorld(PROVENCE)))

const mebibytes = (count: number): number => count * 1024 ** 2

const folder = (name: string, children: Item[], more: Partial<Item> = {}): Item => ({
  name,
  type: 'folder',
  children,
  ...more,
})
const layer = (
  type: 'raster' | 'vector' | 'pointCloud',
  name: string,
  sizeMebibytes: number,
  more: Partial<Item> = {},
): Item => ({ name, type, sizeBytes: mebibytes(sizeMebibytes), ...more })
const file = (name: string, sizeMebibytes: number): Item => ({
  name,
  type: 'file',
  sizeBytes: mebibytes(sizeMebibytes),
})

/** More items than one page holds, so that clients must use paging. */
const weeklyMosaics = Array.from({ length: 64 }, (_, week) =>
  layer('raster', `Mosaic week ${String(week + 1).padStart(2, '0')}`, 180 + (week % 7)),
)

const amelie: Item[] = [
  folder('Camargue wetlands', [
    folder('Field campaign 2025', [
      layer('vector', 'Sampling points', 2, { description: 'Salinity and depth, 412 points' }),
      layer('vector', 'Reed beds', 14),
      file('Field notes.pdf', 3),
      folder('Drone flights', [
        layer('raster', 'Orthophoto 12 May', 2_300),
        layer('raster', 'Orthophoto 3 September', 2_410),
        layer('pointCloud', 'Dunes 3 September', 5_120),
      ]),
    ]),
    folder('Weekly mosaics', weeklyMosaics),
    layer('raster', 'Flood extent 2024', 640, {
      hashtags: ['flood', 'sentinel-1'],
      favorite: true,
    }),
    layer('vector', 'Protected areas', 21, { public: true, description: 'Open data, 2024' }),
  ]),
  folder('Marseille trees', [layer('vector', 'Street trees', 9), file('Species list.csv', 1)], {
    sharedWith: ['bo'],
  }),
  layer('raster', 'Elevation Provence', 1_870, { hashtags: ['dem'] }),
  layer('raster', 'Land cover Provence', 730, {
    description: 'Forest, fields, rock and snow',
    raster: { theme: 'land cover', extent: PROVENCE },
  }),
  layer('raster', 'Flood risk Provence', 95, {
    description: 'Low land by the sea; transparent elsewhere',
    raster: { theme: 'flood', extent: PROVENCE },
  }),
  layer('raster', 'World relief', 5_200, { raster: { theme: 'relief', extent: WORLD } }),
  layer('vector', 'Hiking trails', 6, { favorite: true }),
  file('Project plan.docx', 1),
  file('large.bin', 64),
  {
    name: 'Elevation Provence.tif',
    type: 'file',
    sizeBytes: GEOTIFF_SIZE_BYTES,
    content: provenceGeotiff,
  },
  { name: 'Harbour view', type: 'bookmark' },
  layer('raster', 'Test upload', 12, { trashed: true }),
]

const bo: Item[] = [
  folder('Forest inventory', [
    layer('vector', 'Stands 2023', 33),
    layer('vector', 'Stands 2024', 35, { favorite: true }),
    layer('raster', 'Canopy height', 980, { description: 'From airborne laser scanning, 1 m' }),
    folder('Plots', [layer('vector', 'Plot centres', 1), file('Protocol.pdf', 2)]),
  ]),
  folder('Lake Vättern', [layer('raster', 'Bathymetry', 310), layer('vector', 'Shoreline', 4)], {
    sharedWith: ['amelie'],
  }),
  layer('vector', 'Snowmobile routes', 8),
  file('Readme.txt', 1),
  layer('vector', 'Old plots', 1, { trashed: true }),
]

/** The drive of users that a test adds. */
const defaultItems: Item[] = [
  folder('My first project', [layer('vector', 'Boundaries', 3), file('Notes.txt', 1)]),
  layer('raster', 'Satellite image', 420),
]

/** The items at the top of the user's drive. */
export function sampleItemsOf(username: string): Item[] {
  if (username === 'amelie') return amelie
  return username === 'bo' ? bo : defaultItems
}
