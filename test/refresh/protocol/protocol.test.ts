import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { isLong, size } from '../../size.ts'
import { temporaryFolder } from '../../temporary.ts'

const MODEL = join(import.meta.dirname, 'refresh.pml')
const ROTATIONS = ['NEVER', 'GRACE', 'ALWAYS']
const NOTHING = { EXPIRIES: 0, CRASHES: 0, PAUSES: 0, LOSSES: 0 }
/** On PostgreSQL, where brokers may be cut off from the database. */
const CUT = { ...NOTHING, SILENCE: 1, CUTS: 1 }
const FAULTS = [
  'FAULT_LEASE_LENGTH',
  'FAULT_NO_LEASE',
  'FAULT_NO_CHECK',
  'FAULT_NO_GENERATION',
  'FAULT_HOST_CLOCKS',
]
const CUT_FAULTS = ['FAULT_HOLD_FROM_LEASE', 'FAULT_SHORT_SILENCE', 'FAULT_NO_GENERATION']

const skip = !hasSpin() && 'spin is not installed'

interface Outcome {
  errors: number
  states: number
  output: string
}

/**
 * Checks the model exhaustively.
 * @param definitions what may happen how often, and a fault
 * @param property `settles`: the liveness property; `null`: the assertions
 */
async function check(
  t: Parameters<typeof temporaryFolder>[0],
  definitions: Record<string, string | number>,
  property: 'settles' | null = null,
): Promise<Outcome> {
  const cwd = temporaryFolder(t)
  const run = async (program: string, args: string[]): Promise<string> =>
    (await promisify(execFile)(program, args, { cwd, maxBuffer: 1e8 })).stdout
  const flags = Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`)
  await run('spin', [...flags, '-a', MODEL])
  // Processes that can be paused (`provided`) exclude partial order reduction.
  const kind = property ? ['-DNFAIR=8'] : ['-DSAFETY', '-DNOCLAIM']
  // To optimize more takes longer than it saves.
  await run('gcc', ['-O1', '-w', '-DNOREDUCE', ...kind, '-o', 'pan', 'pan.c'])
  const output = await run('./pan', [
    '-m1000000',
    ...(property ? ['-a', '-f', '-N', property] : []),
  ])
  const read = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? NaN)
  if (/max search depth too small|out of memory/i.test(output)) throw new Error(output)
  return { errors: read(/errors: (\d+)/), states: read(/^\s*([\d.e+]+) states, stored/m), output }
}

/** What may happen how often at most, checked with each kind of rotation. */
const BOUNDS = [
  { ...NOTHING, CRASHES: 1, LOSSES: 1 },
  { ...NOTHING, EXPIRIES: 1, PAUSES: 1 },
  { ...NOTHING, CRASHES: 1, PAUSES: 1 },
  { ...CUT, CUTS: 2 },
  { ...CUT, CRASHES: 1 },
  { ...CUT, LOSSES: 1 },
  { ...CUT, CUTS: 0, PAUSES: 1 },
]

t.test('no token is lost, or sent too late, and no revocation undone', { skip }, async (t) => {
  for (const bounds of isLong ? BOUNDS : [{ ...NOTHING, CRASHES: 1 }, CUT]) {
    // Leases by silence have many states.
    for (const ROTATION of 'SILENCE' in bounds ? ['ALWAYS'] : ROTATIONS) {
      const { errors, states, output } = await check(t, { ROTATION, ...bounds })
      t.equal(errors, 0, `${ROTATION} ${JSON.stringify(bounds)}: ${states} states`)
      if (errors > 0) t.comment(output)
    }
  }
})

t.test('every connection is refreshed, marked or revoked in the end', { skip }, async (t) => {
  const bounds = { ...NOTHING, CRASHES: 1, LOSSES: size(0, 1) }
  const { errors, states, output } = await check(t, { ROTATION: 'ALWAYS', ...bounds }, 'settles')
  t.equal(errors, 0, `${states} states`)
  if (errors > 0) t.comment(output)
})

t.test('the model notices faults', { skip }, async (t) => {
  for (const fault of FAULTS) {
    const { errors } = await check(t, { ROTATION: 'GRACE', ...NOTHING, PAUSES: 1, [fault]: 1 })
    t.equal(errors, 1, fault)
  }
  for (const fault of CUT_FAULTS) {
    const { errors } = await check(t, { ROTATION: 'ALWAYS', ...CUT, CUTS: 2, [fault]: 1 })
    t.equal(errors, 1, fault)
  }
})

function hasSpin(): boolean {
  try {
    execFileSync('spin', ['-V'])
    return true
  } catch {
    return false
  }
}
