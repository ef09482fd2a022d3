import type { NoiseOctave } from './noise.ts'
import { createNoise } from './noise.ts'

/** The coarsest and the finest noise: 2^2 and 2^21 cells per world, about 10,000 km and 20 m. */
const FIRST_OCTAVE = 2
const LAST_OCTAVE = 21
/** From this octave on, noise makes mountains (600 km); before, continents. */
const FIRST_MOUNTAIN_OCTAVE = 6
/** From this octave on (5 km), details get smaller faster. */
const FIRST_DETAIL_OCTAVE = 13
/** Each octave has this share of the height of the one before. */
const CONTINENT_PERSISTENCE = 0.6
const MOUNTAIN_PERSISTENCE = 0.86
const DETAIL_PERSISTENCE = 0.55
/** Noise of fewer pixels per cell would only flicker. */
const MIN_PIXELS_PER_CELL = 3

const METRES_PER_UNIT = 3_400
const SEED = 2244
/** Raises the land, so that sea covers about half of the world. */
const LAND_OFFSET = 0.02

/**
 * Heights of a world that does not exist, in metres above the sea, row by row. They depend on the
 * position alone, so pictures of neighbouring places fit together, at every scale.
 *
 * Positions are those of Web Mercator (EPSG:3857) as fractions of the world: x from 0 (180° west)
 * to 1, y from 0 (85.05° north) to 1.
 * @param xs ascending positions of the columns; beyond 0 and 1 the world repeats
 * @param ys ascending positions of the rows
 * @param pixelSize distance of neighbouring columns: finer detail is left out
 */
export function heightsAt(xs: Float64Array, ys: Float64Array, pixelSize: number): Float32Array {
  const lastVisible = Math.floor(-Math.log2(pixelSize * MIN_PIXELS_PER_CELL))
  const octaves: NoiseOctave[] = []
  for (let octave = FIRST_OCTAVE; octave <= Math.min(LAST_OCTAVE, lastVisible); octave++) {
    octaves.push(createNoise(xs, octave, SEED))
  }
  const continents = octaves.slice(0, FIRST_MOUNTAIN_OCTAVE - FIRST_OCTAVE)
  const mountains = octaves.slice(FIRST_MOUNTAIN_OCTAVE - FIRST_OCTAVE)

  const heights = new Float32Array(xs.length * ys.length)
  const row = new Float64Array(xs.length)
  const noise = new Float64Array(xs.length)
  const weights = new Float64Array(xs.length)
  ys.forEach((y, index) => {
    addContinents(row, y, continents, noise)
    addMountains(row, y, mountains, { noise, weights })
    const start = index * xs.length
    for (let at = 0; at < row.length; at++) heights[start + at] = row[at]! * METRES_PER_UNIT
  })
  return heights
}

function addContinents(
  row: Float64Array,
  y: number,
  octaves: NoiseOctave[],
  noise: Float64Array,
): void {
  row.fill(LAND_OFFSET)
  let amplitude = 1
  for (const octave of octaves) {
    octave.fillRow(noise, y)
    for (let at = 0; at < row.length; at++) row[at] = row[at]! + amplitude * noise[at]!
    amplitude *= CONTINENT_PERSISTENCE
  }
}

/**
 * Adds ridges: high where the noise is near zero. They are steep where the land is high, and where
 * the ridges of the octave before are; plains and sea floors stay smooth.
 */
function addMountains(
  row: Float64Array,
  y: number,
  octaves: NoiseOctave[],
  { noise, weights }: { noise: Float64Array; weights: Float64Array },
): void {
  for (let at = 0; at < row.length; at++) weights[at] = clamp(0.12 + 1.9 * row[at]!, 0.04, 1)
  let amplitude = 0.17
  octaves.forEach((octave, index) => {
    octave.fillRow(noise, y)
    for (let at = 0; at < row.length; at++) {
      const weight = weights[at]!
      const ridge = 1 - 2 * Math.abs(noise[at]!)
      const signal = ridge * ridge - 0.4
      row[at] = row[at]! + amplitude * weight * signal
      weights[at] = clamp(weight * (0.98 + 0.7 * signal), 0.03, 1)
    }
    const isDetail = FIRST_MOUNTAIN_OCTAVE + index >= FIRST_DETAIL_OCTAVE
    amplitude *= isDetail ? DETAIL_PERSISTENCE : MOUNTAIN_PERSISTENCE
  })
}

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value))
