import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { createSeededRandom } from './chaos/random.ts'
import type { SeededRandom } from './chaos/random.ts'
import { isLong, size } from './size.ts'

/** How often a test kills something. `KILL_ROUNDS` overrides it. */
export const killRounds = Number(process.env.KILL_ROUNDS ?? size(3, 15))

/** A point in a process's work at which it is killed. */
export interface KillPoint {
  name: string
  /** Has the process reached the point? */
  reached: () => boolean | Promise<boolean>
  /** Is it close to the point? From then on it runs a few milliseconds at a time and is checked in between. */
  near?: () => boolean | Promise<boolean>
  /** Is it still at the point? It is stopped during this check, and continues if not. */
  holds?: () => boolean | Promise<boolean>
  /** Has it passed the point, if it doesn't end by itself? It is then killed too, which counts as a miss. */
  passed?: () => boolean
  /** Maximum delay of the kill; the seed determines the delay. */
  laterByMs?: number
}

/** Kills of one test, determined by a seed and counted. */
interface Kills {
  random: SeededRandom
  /** Kills the process at that point. Returns whether the kill landed: whether the process was still working. */
  at(child: ChildProcess, point: KillPoint): Promise<boolean>
  /** Prints the counts and asserts that kills have landed. */
  check(): void
}

/**
 * Kills processes at observable points instead of after some time. If a process finishes before the kill, that is a
 * miss. `TEST_SEED` sets the seed.
 */
export function createKills(t: Test): Kills {
  const seed = Number(process.env.TEST_SEED ?? randomInt(2 ** 31))
  const random = createSeededRandom(seed)
  const counts: Record<string, { landed: number; missed: number }> = {}
  t.teardown(() => {
    if (!t.passing()) t.comment(`TEST_SEED=${seed}`)
  })

  const count = (name: string, landed: boolean): void => {
    const counted = (counts[name] ??= { landed: 0, missed: 0 })
    counted[landed ? 'landed' : 'missed']++
  }

  return {
    random,

    async at(child, point) {
      const { name, reached, near = no, holds = () => true, passed = no, laterByMs = 0 } = point
      let [hasEnded, errors] = [false, '']
      child.stdout?.resume()
      child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
      const closed = once(child, 'close').finally(() => (hasEnded = true))
      let isStepwise = false
      const isAtPoint = async (): Promise<boolean> => {
        if (!(await reached())) return false
        if (laterByMs > 0) await run(child, random.next() * laterByMs, isStepwise)
        child.kill('SIGSTOP')
        if (await holds()) return true
        if (!isStepwise) child.kill('SIGCONT')
        return false
      }
      try {
        while (!hasEnded && !passed() && !(await isAtPoint())) {
          isStepwise ||= await near()
          await run(child, isStepwise ? STEP_MS : 1, isStepwise)
        }
      } finally {
        // Also after an error: a stopped process would stay forever.
        child.kill('SIGKILL')
      }
      const hasPassed = passed()
      const [code, signal] = (await closed) as [number | null, NodeJS.Signals | null]
      const landed = signal === 'SIGKILL' && !hasPassed
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
      if (isLong) t.ok(landed >= missed, 'at least half of the kills landed')
    },
  }
}

const STEP_MS = 2
const no = () => false

/** Lets a process run for some milliseconds. `isStepwise`: stops it exactly then, however busy this process is. */
async function run(child: ChildProcess, milliseconds: number, isStepwise: boolean): Promise<void> {
  if (!isStepwise) return sleep(milliseconds)
  child.kill('SIGCONT')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
  child.kill('SIGSTOP')
  await setImmediate()
}

/** Collects the output of a process. */
export function outputOf({ stdout, stderr }: ChildProcess): () => string {
  let text = ''
  for (const stream of [stdout, stderr]) {
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  }
  return () => text
}

/** Size of a file in bytes; 0 if it doesn't exist. */
export const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** Enlarges a database with long and short rows, so that copying it takes an observable time. */
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

/** Opens a write transaction, so that other writers wait until `release`. */
export function holdWrites(path: string): { release(): void } {
  const client = new Database(path, { timeout: 5000 })
  client.exec('begin immediate')
  return { release: () => client.close() }
}

/** Is another connection in a write transaction? */
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
