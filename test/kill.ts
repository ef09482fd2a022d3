import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { createDice } from './chaos/random.ts'
import type { Dice } from './chaos/random.ts'
import { isLong, size } from './size.ts'

/** How often a test kills something; `KILL_ROUNDS` sets it for a night's run. */
export const killRounds = Number(process.env.KILL_ROUNDS ?? size(3, 15))

/** Where in its work a process is killed. */
export interface KillPoint {
  name: string
  /** Whether the process has come so far. */
  reached: () => boolean | Promise<boolean>
  /** Whether it comes close: from then on it runs a few milliseconds at a time, and is looked at in between. */
  near?: () => boolean | Promise<boolean>
  /** Whether it is still there: it is stopped while this is asked, and goes on if it isn't. */
  holds?: () => boolean | Promise<boolean>
  /** Whether it has gone on too far, where it doesn't end by itself. It is killed then too: a miss. */
  passed?: () => boolean
  /** The kill comes up to so many milliseconds later; the seed says how many. */
  laterByMs?: number
}

/** Kills of one test: seeded, and counted. */
export interface Kills {
  dice: Dice
  /** Kills the process at that point. Answers whether that landed: whether it was still at work. */
  at(child: ChildProcess, point: KillPoint): Promise<boolean>
  /** Prints the counts, and holds the kills to having landed. */
  check(): void
}

/**
 * Kills processes where a test can see that they are, rather than after some time. One that finishes before it is
 * killed is a miss. `TEST_SEED` sets the seed.
 */
export function createKills(t: Test): Kills {
  const seed = Number(process.env.TEST_SEED ?? randomInt(2 ** 31))
  const dice = createDice(seed)
  const counts: Record<string, { landed: number; missed: number }> = {}
  t.teardown(() => {
    if (!t.passing()) t.comment(`TEST_SEED=${seed}`)
  })

  const count = (name: string, landed: boolean): void => {
    const counted = (counts[name] ??= { landed: 0, missed: 0 })
    counted[landed ? 'landed' : 'missed']++
  }

  return {
    dice,

    async at(child, point) {
      const { name, reached, near = no, holds = () => true, passed = no, laterByMs = 0 } = point
      let [ended, errors] = [false, '']
      child.stdout?.resume()
      child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
      const closed = once(child, 'close').finally(() => (ended = true))
      let stepwise = false
      const isThere = async (): Promise<boolean> => {
        if (!(await reached())) return false
        if (laterByMs > 0) await run(child, dice.next() * laterByMs, stepwise)
        child.kill('SIGSTOP')
        if (await holds()) return true
        if (!stepwise) child.kill('SIGCONT')
        return false
      }
      try {
        while (!ended && !passed() && !(await isThere())) {
          stepwise ||= await near()
          await run(child, stepwise ? STEP_MS : 1, stepwise)
        }
      } finally {
        // Also where the point can't be told: a process that is stopped would stay.
        child.kill('SIGKILL')
      }
      const isPast = passed()
      const [code, signal] = (await closed) as [number | null, NodeJS.Signals | null]
      const landed = signal === 'SIGKILL' && !isPast
      count(name, landed)
      if (signal === null) t.equal(code, 0, `finished before it was killed; ${errors}`)
      else t.equal(signal, 'SIGKILL', `killed: ${name}`)
      return landed
    },

    check() {
      t.comment(`kills (TEST_SEED=${seed}): ${JSON.stringify(counts)}`)
      const all = Object.values(counts)
      const landed = all.reduce((sum, one) => sum + one.landed, 0)
      const missed = all.reduce((sum, one) => sum + one.missed, 0)
      t.ok(landed > 0, `${landed} kills landed, ${missed} missed`)
      if (isLong) t.ok(landed >= missed, 'half of them at least')
    },
  }
}

const STEP_MS = 2
const no = () => false

/** Lets a process run for some milliseconds; `stepwise`: and stops it, however busy this process is. */
async function run(child: ChildProcess, milliseconds: number, stepwise: boolean): Promise<void> {
  if (!stepwise) return sleep(milliseconds)
  child.kill('SIGCONT')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
  child.kill('SIGSTOP')
  await setImmediate()
}

/** What a process has written to its outputs so far. */
export function outputOf({ stdout, stderr }: ChildProcess): () => string {
  let text = ''
  for (const stream of [stdout, stderr]) {
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  }
  return () => text
}

/** Bytes of a file; 0: there is none. */
export const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** Makes a store larger, so that it is seen how it is copied: some in long rows, some in short ones. */
export function addBallast(path: string): void {
  const client = new Database(path)
  const rows = (count: number) =>
    `(with recursive rows(n) as (select 1 union all select n + 1 from rows where n < ${count}) select n from rows)`
  client.exec(`create table ballast (bytes blob);
    insert into ballast select zeroblob(100000) from ${rows(100)};
    insert into ballast select 'abcdefghij' from ${rows(50_000)}`)
  client.pragma('wal_checkpoint(TRUNCATE)')
  client.close()
}

/** Holds a database as one who writes to it: others that want to write wait. */
export function holdWrites(path: string): { release(): void } {
  const client = new Database(path, { timeout: 5000 })
  client.exec('begin immediate')
  return { release: () => client.close() }
}

/** Whether somebody is writing to a database at this moment. */
export function isWriting(path: string): boolean {
  const client = new Database(path, { timeout: 0 })
  try {
    client.exec('begin immediate')
    return false
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return true
    throw error
  } finally {
    client.close()
  }
}
