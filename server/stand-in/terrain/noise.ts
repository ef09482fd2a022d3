/** Gradient noise (Perlin) on a lattice that repeats after one world from west to east. */

/** Noise of one scale, at fixed columns. */
export interface NoiseOctave {
  /** Writes the noise of a row into `row`: one number a column, about -0.7 to 0.7. */
  fillRow(row: Float64Array, y: number): void
}

/**
 * Noise of 2^octave cells per world. Along a row, it is a polynomial between two columns of the
 * lattice, so that a pixel costs a few multiplications.
 * @param xs ascending positions of the columns, as fractions of the world
 * @param seed selects the world
 */
export function createNoise(xs: Float64Array, octave: number, seed: number): NoiseOctave {
  const cells = 2 ** octave
  const shift = (octave * GOLDEN_RATIO) % 1
  const { firstColumn, columns, starts, offset, blend } = projectOnLattice(xs, cells, shift)
  const constants = new Float64Array(columns)
  const slopes = new Float64Array(columns)
  const above = new Uint8Array(columns)
  const below = new Uint8Array(columns)
  let latticeRow: number | undefined

  function enterLatticeRow(row: number): void {
    if (row === latticeRow) return
    latticeRow = row
    for (let column = 0; column < columns; column++) {
      const wrapped = (firstColumn + column) & (cells - 1)
      above[column] = hash(wrapped, row, octave, seed)
      below[column] = hash(wrapped, row + 1, octave, seed)
    }
  }

  function enterRow(y: number): void {
    const position = y * cells + shift
    const row = Math.floor(position)
    enterLatticeRow(row)
    const down = position - row
    const share = fade(down)
    for (let column = 0; column < columns; column++) {
      const upper = above[column]!
      const lower = below[column]!
      constants[column] = SINES[upper]! * down * (1 - share) + SINES[lower]! * (down - 1) * share
      slopes[column] = COSINES[upper]! * (1 - share) + COSINES[lower]! * share
    }
  }

  return {
    fillRow(row, y) {
      enterRow(y)
      for (let column = 0; column + 1 < columns; column++) {
        const west = constants[column]!
        const westSlope = slopes[column]!
        const eastSlope = slopes[column + 1]!
        const east = constants[column + 1]! - eastSlope
        for (let at = starts[column]!; at < starts[column + 1]!; at++) {
          const right = offset[at]!
          const fromWest = west + westSlope * right
          row[at] = fromWest + blend[at]! * (east + eastSlope * right - fromWest)
        }
      }
    },
  }
}

/** Moves each octave's lattice, so that their lines, where noise is zero, do not coincide. */
const GOLDEN_RATIO = 1.618_034

/**
 * The columns of the lattice around the positions, and where each one's cell starts among the
 * positions; for each position, its offset in its cell (0 to 1) and its blend weight.
 */
function projectOnLattice(positions: Float64Array, cells: number, shift: number) {
  const columnOf = (position: number) => Math.floor(position * cells + shift)
  const firstColumn = columnOf(positions[0]!)
  const columns = columnOf(positions.at(-1)!) - firstColumn + 2
  const starts = new Uint32Array(columns).fill(positions.length)
  for (let at = positions.length - 1; at >= 0; at--) {
    // Cells without a position, of noise finer than the pixels, start where the next one does.
    starts.fill(at, 0, columnOf(positions[at]!) - firstColumn + 1)
  }
  const offset = positions.map((position) => position * cells + shift - columnOf(position))
  return { firstColumn, columns, starts, offset, blend: offset.map(fade) }
}

/** Perlin's quintic: no visible seams between cells. */
const fade = (t: number) => t * t * t * (t * (t * 6 - 15) + 10)

const DIRECTIONS = 256
const angles = Array.from({ length: DIRECTIONS }, (_, index) => (index / DIRECTIONS) * 2 * Math.PI)
const COSINES = Float64Array.from(angles, Math.cos)
const SINES = Float64Array.from(angles, Math.sin)

/** The direction of the gradient at a point of the lattice, 0 to 255. */
function hash(column: number, row: number, octave: number, seed: number): number {
  let bits = Math.imul(column, 0x9e3779b1) ^ Math.imul(row, 0x85ebca77)
  bits ^= Math.imul(octave * 1_013 + seed, 0xc2b2ae3d)
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d)
  bits = Math.imul(bits ^ (bits >>> 12), 0x297a2d39)
  return (bits ^ (bits >>> 15)) & (DIRECTIONS - 1)
}
