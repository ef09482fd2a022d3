import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import type { Fault } from '../../server/stand-in/app.ts'
import { REFRESH_POINTS } from './broker.ts'
import type { Broker } from './broker.ts'
import type { ChaosEnvironment, DataDirectoryEnvironment } from './environment.ts'
import type { SeededRandom } from './random.ts'

/** Number of injected faults by name. */
type FaultCounts = Record<string, number>

/** Injects a fault and ends it again. Returns its name for the report. */
export type Inject<E = ChaosEnvironment> = (environment: E, random: SeededRandom) => Promise<string>

const HOUR_MS = 3_600_000
/** A pause for longer than a lease, in leases. */
const PAUSE_LEASES = 7 / 6
const POLL_INTERVAL_MS = 20

const upstream = (kind: Fault['kind'], more: object): Inject => {
  return async ({ standIn }, random) => {
    const bounds = random.next() < 0.5 ? { times: random.between(1, 6) } : { share: 0.3 }
    standIn.addFault({ endpoint: 'refresh', kind, ...more, ...bounds } as Fault)
    await sleep(random.between(300, 1500))
    standIn.clearFaults()
    return `upstream: ${kind}`
  }
}

/** Upstream faults that lose no token: the refresh failed, or its response arrived in the end. */
export const harmless: Inject[] = [
  upstream('status', { status: 500 }),
  upstream('status', { status: 503, retryAfter: 1 }),
  upstream('status', { status: 429 }),
  upstream('status', { status: 429, retryAfter: 1 }),
  upstream('status', { status: 404 }),
  upstream('delay', { milliseconds: 1500 }),
  upstream('late', { milliseconds: 1500 }),
  upstream('hang', {}),
  upstream('cut-before', {}),
  upstream('garbage', {}),
  upstream('html', {}),
  upstream('invalid_client', {}),
  upstream('invalid_grant', {}),
]

/** Upstream faults that lose the response to a rotation. */
export const losing: Inject[] = [
  upstream('cut-after', {}),
  upstream('garbage', { worked: true }),
  upstream('status', { status: 502, worked: true }),
]

/** Faults during which brokers cannot retry a refresh. */
export const BLOCKING_FAULTS = ['paused for longer than a lease', 'disk full', 'database locked']

export const pauseBroker: Inject = async ({ brokers, pauses, leaseMs }, random) => {
  const broker = random.pick(brokers)
  const pause = { from: Date.now(), to: Infinity }
  pauses.push(pause)
  broker.signal('SIGSTOP')
  await sleep(leaseMs * PAUSE_LEASES)
  pause.to = Date.now()
  broker.signal('SIGCONT')
  return 'paused for longer than a lease'
}

const fillDisk: Inject<DataDirectoryEnvironment> = async ({ dataDir, hasOwnDisk }, random) => {
  if (!hasOwnDisk) return 'skipped: disk full (needs permission to mount)'
  const path = join(dataDir, 'ballast')
  const file = openSync(path, 'w')
  try {
    for (let size = 1 << 20; size >= 512;) {
      try {
        if (writeSync(file, Buffer.alloc(size)) < size) size = Math.floor(size / 2)
      } catch {
        size = Math.floor(size / 2)
      }
    }
    await sleep(random.between(2000, 8000))
  } finally {
    closeSync(file)
    rmSync(path)
  }
  return 'disk full'
}

const lockDatabase: Inject<DataDirectoryEnvironment> = async ({ dataDir }, random) => {
  const other = new Database(join(dataDir, 'broker.db'), { timeout: 1000 })
  try {
    other.exec('begin immediate')
    await sleep(random.between(1000, 12_000))
    other.exec('rollback')
    return 'database locked'
  } catch {
    return 'database locked: tried'
  } finally {
    other.close()
  }
}

const makeReadOnly: Inject = async ({ brokers }, random) => {
  const milliseconds = random.between(1000, 6000)
  random.pick(brokers).order({ readOnlyMs: milliseconds })
  await sleep(milliseconds)
  return 'database read-only'
}

const moveClock: Inject = async ({ brokers }, random) => {
  const byMs = random.pick([-26, -5, -0.05, 0.05, 5, 26]) * HOUR_MS
  for (const broker of brokers) broker.order({ moveClockMs: byMs })
  await sleep(3000)
  for (const broker of brokers) broker.order({ moveClockMs: -byMs })
  return byMs < 0 ? 'clock moved back, then reset' : 'clock moved forward, then reset'
}

const killAtPoint: Inject = async ({ brokers }, random) => {
  const [broker, point] = [random.pick(brokers), random.pick(REFRESH_POINTS)]
  const before = broker.kills
  broker.order({ killAt: point })
  for (let waited = 0; waited < 3000 && broker.kills === before; waited += POLL_INTERVAL_MS) {
    await sleep(POLL_INTERVAL_MS)
  }
  if (broker.kills === before) return 'kill at a point: not reached'
  await broker.ready()
  return `killed ${point}`
}

const killAtRandom: Inject = async ({ brokers }, random) => {
  await sleep(random.between(50, 900))
  await killNow(random.pick(brokers))
  return 'killed at random'
}

/** Kills it, and waits until it has started again. */
export async function killNow(broker: Broker): Promise<void> {
  const before = broker.kills
  // During a restart there may be no process yet.
  while (broker.kills === before) {
    broker.signal('SIGKILL')
    await sleep(POLL_INTERVAL_MS)
  }
  await broker.ready()
}

/** A killer of brokers. */
export const kill = (random: SeededRandom): Inject =>
  random.next() < 0.6 ? killAtPoint : killAtRandom

/** Injects faults until the signal, in several loops at a time, and for as long as a broker is paused. */
export async function repeatFaults<E extends ChaosEnvironment>(
  environment: E,
  random: SeededRandom,
  signal: AbortSignal,
  loops: (() => Inject<E>)[],
): Promise<FaultCounts> {
  const counts: FaultCounts = {}
  const repeat = async (choose: () => Inject<E>): Promise<void> => {
    while (!signal.aborted || environment.pauses.at(-1)?.to === Infinity) {
      const from = Date.now()
      const name = await choose()(environment, random)
      environment.faults.push({ name, from, to: Date.now() })
      if (process.env.CHAOS_VERBOSE)
        process.stdout.write(
          `${new Date(from).toISOString().slice(11, 23)} ${name}: ${Date.now() - from} ms\n`,
        )
      counts[name] = (counts[name] ?? 0) + 1
    }
  }
  await Promise.all(loops.map(repeat))
  return counts
}

/** Injects faults until the signal: kills, in all brokers but one at a time, and one other fault at a time. */
export async function injectFaults(
  environment: DataDirectoryEnvironment,
  random: SeededRandom,
  signal: AbortSignal,
): Promise<FaultCounts> {
  const rest = [fillDisk, lockDatabase, makeReadOnly, moveClock, pauseBroker]
  const others = () => {
    const roll = random.next()
    if (roll < 0.25) return random.pick(rest)
    return roll < 0.4 ? random.pick(losing) : random.pick(harmless)
  }
  const killers = Math.max(1, environment.brokers.length - 1)
  const loops = [others, ...Array.from({ length: killers }, () => () => kill(random))]
  return repeatFaults(environment, random, signal, loops)
}
