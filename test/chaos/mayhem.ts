import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import type { Fault } from '../../server/stand-in/app.ts'
import { POINTS } from './orders.ts'
import type { Dice } from './random.ts'
import type { Setting } from './setting.ts'

/** What was done, for the report. */
export type Actions = Record<string, number>

type Action = (setting: Setting, dice: Dice) => Promise<string>

const HOUR = 3_600_000

const upstream = (kind: Fault['kind'], more: object): Action => {
  return async ({ standIn }, dice) => {
    const bounds = dice.next() < 0.5 ? { times: dice.between(1, 6) } : { share: 0.3 }
    standIn.addFault({ endpoint: 'refresh', kind, ...more, ...bounds } as Fault)
    await sleep(dice.between(300, 1500))
    standIn.clearFaults()
    return `upstream: ${kind}`
  }
}

/** Upstream's faults that lose nothing: it didn't work, or whoever asks is told in the end. */
const harmless: Action[] = [
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

/** Those that lose the answer to a rotation. */
const losing: Action[] = [
  upstream('cut-after', {}),
  upstream('garbage', { worked: true }),
  upstream('status', { status: 502, worked: true }),
]

/** What keeps every broker from asking for a connection again, or all but the one that is stopped. */
export const BLOCKING = ['paused for longer than a lease', 'disk full', 'database locked']

/** Longer than a lease lasts. */
const pause: Action = async ({ brokers, wokenAt }, dice) => {
  const broker = dice.pick(brokers)
  broker.signal('SIGSTOP')
  await sleep(32_000)
  wokenAt.push(Date.now())
  broker.signal('SIGCONT')
  return 'paused for longer than a lease'
}

const fillDisk: Action = async ({ dataDir, ownDisk }, dice) => {
  if (!ownDisk) return 'skipped: disk full (takes the right to mount a small one)'
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
    await sleep(dice.between(2000, 8000))
  } finally {
    closeSync(file)
    rmSync(path)
  }
  return 'disk full'
}

const lockDatabase: Action = async ({ dataDir }, dice) => {
  const other = new Database(join(dataDir, 'broker.db'), { timeout: 1000 })
  try {
    other.exec('begin immediate')
    await sleep(dice.between(1000, 12_000))
    other.exec('rollback')
    return 'database locked'
  } catch {
    return 'database locked: tried'
  } finally {
    other.close()
  }
}

const makeReadOnly: Action = async ({ brokers }, dice) => {
  const milliseconds = dice.between(1000, 6000)
  dice.pick(brokers).order({ readOnly: milliseconds })
  await sleep(milliseconds)
  return 'database read-only'
}

const jump: Action = async ({ brokers }, dice) => {
  const by = dice.pick([-26, -5, -0.05, 0.05, 5, 26]) * HOUR
  for (const broker of brokers) broker.order({ jump: by })
  await sleep(3000)
  for (const broker of brokers) broker.order({ jump: -by })
  return by < 0 ? 'clock set back, and on again' : 'clock set on, and back again'
}

const killAtPoint: Action = async ({ brokers }, dice) => {
  const [broker, point] = [dice.pick(brokers), dice.pick(POINTS)]
  const before = broker.kills
  broker.order({ die: point })
  for (let waited = 0; waited < 3000 && broker.kills === before; waited += 20) await sleep(20)
  if (broker.kills === before) return 'kill at a point: none came by'
  await broker.ready()
  return `killed ${point}`
}

const killAtRandom: Action = async ({ brokers }, dice) => {
  const broker = dice.pick(brokers)
  const before = broker.kills
  await sleep(dice.between(50, 900))
  // While it is being started again there may be nobody there yet.
  while (broker.kills === before) {
    broker.signal('SIGKILL')
    await sleep(20)
  }
  await broker.ready()
  return 'killed at random'
}

/** Kills, one broker after the other, so that at least one is left; beside them, one of the rest at a time. */
export async function wreak(setting: Setting, dice: Dice, signal: AbortSignal): Promise<Actions> {
  const actions: Actions = {}
  const repeat = async (choose: () => Action): Promise<void> => {
    while (!signal.aborted) {
      const from = Date.now()
      const action = await choose()(setting, dice)
      setting.actions.push({ action, from, to: Date.now() })
      actions[action] = (actions[action] ?? 0) + 1
    }
  }
  const rest = [fillDisk, lockDatabase, makeReadOnly, jump, pause]
  const others = () => {
    const roll = dice.next()
    if (roll < 0.25) return dice.pick(rest)
    return roll < 0.4 ? dice.pick(losing) : dice.pick(harmless)
  }
  const kill = () => repeat(() => (dice.next() < 0.6 ? killAtPoint : killAtRandom))
  const killers = Array.from({ length: Math.max(1, setting.brokers.length - 1) }, kill)
  await Promise.all([...killers, repeat(others)])
  return actions
}
