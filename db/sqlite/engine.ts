import { setImmediate, setTimeout } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { sql, type SQL } from 'drizzle-orm'
import { drizzle, type BetterSQLite3Database } from 'drizzle-orm/better-sqlite3'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import { StoreUnavailableError } from '../errors.ts'
import { prepareCheckpoints } from './checkpoint.ts'

/** How long a database that others hold is asked again, milliseconds. */
const PATIENCE = 10_000
/** Longest pause between two tries, milliseconds. */
const LONGEST_PAUSE = 50

/** What the groups of store methods are made of: one connection, and two ways to run work on it. */
export interface Engine {
  client: Database.Database
  db: BetterSQLite3Database
  /** Runs one statement. Several that must agree go into one `write`, or into one statement. */
  read: <T>(work: () => T) => Promise<T>
  /** Runs `work` as one IMMEDIATE transaction, committed when the promise resolves. */
  write: <T>(work: () => T) => Promise<T>
  /** The same for what a loss of power may undo, such as a lease: it waits for no disk. */
  writeFleeting: <T>(work: () => T) => Promise<T>
  /** Copies some of the log, if it is time to. Answers how many of its pages still wait. */
  checkpoint: () => number
}

/**
 * An engine over an open connection. Work is synchronous, as better-sqlite3 is. While another process
 * holds the database, only the busy timeout blocks the event loop: the wait between tries doesn't.
 */
export function createEngine(client: Database.Database): Engine {
  const transaction = client.transaction((work: () => unknown) => work())
  const checkpoint = prepareCheckpoints(client)
  let last: Promise<unknown> = Promise.resolve()
  let unfinished = 0

  const settle = () => {
    unfinished--
  }

  /** One at a time: a hundred writers that each wait out the busy timeout would block for seconds. */
  const inTurn = <T>(write: () => T): Promise<T> => {
    const asked = performance.now()
    // Who has queued for long has had its time: a locked database isn't waited for by one after the other.
    const run = () => use(write, PATIENCE - (performance.now() - asked))
    // Between two that queue, the event loop gets its turn.
    const result = unfinished++ === 0 ? run() : last.then(() => setImmediate()).then(run)
    last = result.then(settle, settle)
    return result
  }

  const commit = <T>(work: () => T): T => {
    const result = transaction.immediate(work) as T
    checkpoint()
    return result
  }

  const withoutSync = <T>(write: () => T): T => {
    client.pragma('synchronous = NORMAL')
    try {
      return write()
    } finally {
      client.pragma('synchronous = FULL')
    }
  }

  return {
    client,
    db: drizzle(client, { casing: 'snake_case' }),
    read: (work) => use(work, PATIENCE),
    write: (work) => inTurn(() => commit(work)),
    writeFleeting: (work) => inTurn(() => withoutSync(() => commit(work))),
    checkpoint,
  }
}

/** Codes of what may pass: everything else is a fault of this program's. */
const PASSING = /^SQLITE_(BUSY|FULL|READONLY|IOERR|CANTOPEN|LOCKED|NOMEM)/

/** @throws StoreUnavailableError */
async function use<T>(work: () => T, patience: number): Promise<T> {
  try {
    return await retryBusy(work, patience)
  } catch (error) {
    const code = codeOf(error)
    throw PASSING.test(code) ? new StoreUnavailableError(code, error) : error
  }
}

/**
 * Runs `work`, again and again while another process or connection holds the database.
 * @param patience for how long, milliseconds
 * @throws SqliteError `SQLITE_BUSY…` when it was held for all that time
 */
export async function retryBusy<T>(work: () => T, patience = PATIENCE, attempt = 0): Promise<T> {
  const began = performance.now()
  try {
    return work()
  } catch (error) {
    if (!isBusy(error) || patience <= 0) throw error
  }
  // Jittered, so that processes that collided don't collide again.
  await setTimeout(Math.random() * Math.min(2 ** attempt, LONGEST_PAUSE))
  return retryBusy(work, patience - (performance.now() - began), attempt + 1)
}

/** Drizzle wraps some of the errors. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : codeOf(error.cause)
}

const isBusy = (error: unknown): boolean => codeOf(error).startsWith('SQLITE_BUSY')

/** Is the column one of these? Any number of them: as one parameter, where `inArray` takes 32,766. */
export const isOneOf = (column: SQLiteColumn, values: (string | number)[]): SQL =>
  sql`${column} in (select value from json_each(${JSON.stringify(values)}))`
