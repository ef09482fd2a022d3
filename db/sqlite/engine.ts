import { setImmediate as scheduleImmediate } from 'node:timers'
import { setImmediate, setTimeout } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { StoreUnavailableError } from '../errors.ts'
import type { Engine } from '../sql/engine.ts'
import { prepareCheckpoints } from './checkpoint.ts'

/** How long a busy database is retried. */
const BUSY_RETRY_MS = 10_000
/** Longest pause between two retries. */
const MAX_PAUSE_MS = 50

/** The engine of SQLite itself. */
export interface SqliteEngine extends Engine {
  client: Database.Database
  /** Copies part of the log, if it is time to. Returns how many of its pages are not copied yet. */
  checkpoint: () => number
}

/**
 * An engine on an open connection. Work is synchronous, as better-sqlite3 is. While another process locks the
 * database, only the busy timeout blocks the event loop; the pauses between retries don't.
 */
export function createEngine(client: Database.Database, steady = machineClock): SqliteEngine {
  const transaction = client.transaction((work: () => unknown) => work())
  const checkpoint = prepareCheckpoints(client)
  let last: Promise<unknown> = Promise.resolve()
  let unfinished = 0

  const finish = () => {
    unfinished--
  }

  /** One at a time: a hundred writers that each wait for the busy timeout would block for seconds. */
  const enqueue = <T>(write: () => T): Promise<T> => {
    const queuedAt = performance.now()
    // The time in the queue counts: writers don't wait for a locked database one after the other.
    const run = () => use(write, BUSY_RETRY_MS - (performance.now() - queuedAt))
    // The event loop runs between two writers.
    const result = unfinished++ === 0 ? run() : last.then(() => setImmediate()).then(run)
    last = result.then(finish, finish)
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

  const db = drizzle(client, { casing: 'snake_case' })
  return {
    client,
    db,
    read: (work) => use(work, BUSY_RETRY_MS),
    readTogether: prepareReadTogether(client),
    write: (work) => enqueue(() => commit(work)),
    writeFleeting: (work) => enqueue(() => withoutSync(() => commit(work))),
    grams: {
      found: 'from listing_grams where listing_grams match @phrase',
      n: 'rowid',
      phraseOf: (text) => `"${text.replaceAll('"', '""')}"`,
    },
    once: (compute) => compute(),
    // One transaction writes at a time.
    orderEvents: () => undefined,
    deleteSome: (table, where, limit) => db.delete(table).where(where).limit(limit).run().changes,
    steady,
    checkpoint,
  }
}

/** Begins anew with the machine. */
const machineClock = (): number => Number(process.hrtime.bigint() / 1_000_000n)

/**
 * Returns a function that gives the version of what the current transaction reads. It changes with each commit of any
 * process. NaN: the database can't be read; what is read next meets the same error.
 * @see https://sqlite.org/pragma.html#pragma_data_version
 */
function prepareVersion(client: Database.Database): () => number {
  const readOthers = client.prepare<[], number>('pragma data_version').pluck()
  const readOwn = client.prepare<[], number>('select total_changes()').pluck()
  let version = 0
  let [others, own]: (number | undefined)[] = []
  return () => {
    try {
      const [othersNow, ownNow] = [readOthers.get(), readOwn.get()]
      if (othersNow !== others || ownNow !== own) version++
      ;[others, own] = [othersNow, ownNow]
      return version
    } catch {
      return NaN
    }
  }
}

/**
 * Runs the reads of one turn of the event loop in one transaction: SQLite locks the database once for all of them. The
 * transaction begins after each of them was asked for.
 */
function prepareReadTogether(client: Database.Database): Engine['readTogether'] {
  interface Read {
    work: (version: number) => unknown
    resolve: (value: unknown) => void
    reject: (error: unknown) => void
  }
  let waiting: Read[] = []

  const readVersion = prepareVersion(client)
  const run = ({ work, resolve, reject }: Read, version: number): void => {
    try {
      resolve(work(version))
    } catch {
      use(() => work(NaN), BUSY_RETRY_MS).then(resolve, reject)
    }
  }
  const runReads = (reads: Read[]): void => {
    const version = readVersion()
    for (const read of reads) run(read, version)
  }
  const runInTransaction = client.transaction(runReads)

  const runAll = (): void => {
    const reads = waiting
    waiting = []
    try {
      if (reads.length > 1) runInTransaction(reads)
      else runReads(reads)
    } catch (error) {
      for (const { reject } of reads) reject(error)
    }
  }

  return <T>(work: (version: number) => T) =>
    new Promise<T>((resolve, reject) => {
      const read: Read = { work, resolve: resolve as Read['resolve'], reject }
      if (waiting.push(read) === 1) scheduleImmediate(runAll)
    })
}

/** Error codes of conditions that may pass; all others are bugs of this program. */
const TRANSIENT_CODES = /^SQLITE_(BUSY|FULL|READONLY|IOERR|CANTOPEN|LOCKED|NOMEM)/

/** @throws StoreUnavailableError */
async function use<T>(work: () => T, retryMs: number): Promise<T> {
  try {
    return await retryBusy(work, retryMs)
  } catch (error) {
    const code = codeOf(error)
    throw TRANSIENT_CODES.test(code) ? new StoreUnavailableError(code, error) : error
  }
}

/**
 * Runs `work`, and retries it while another process or connection locks the database.
 * @param retryMs for how long
 * @throws SqliteError `SQLITE_BUSY…` if it was locked for all that time
 */
export async function retryBusy<T>(
  work: () => T,
  retryMs = BUSY_RETRY_MS,
  attempt = 0,
): Promise<T> {
  const startedAt = performance.now()
  try {
    return work()
  } catch (error) {
    if (!isBusy(error) || retryMs <= 0) throw error
  }
  // Random, so that processes that collided don't collide again.
  await setTimeout(Math.random() * Math.min(2 ** attempt, MAX_PAUSE_MS))
  return retryBusy(work, retryMs - (performance.now() - startedAt), attempt + 1)
}

/** The error's code, or that of its cause: Drizzle wraps some errors. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : codeOf(error.cause)
}

/** Does another process or connection lock the database? */
export const isBusy = (error: unknown): boolean => codeOf(error).startsWith('SQLITE_BUSY')
