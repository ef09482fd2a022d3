import type Database from 'better-sqlite3'

/** Pages of 4 KiB in the write-ahead log that are worth copying into the database. */
const ENOUGH = 250
/** So many, copied in one go, stop the event loop for some 50 ms on a plain disk. */
export const MOST = 1000
/** So many are left by whoever read for some seconds; more, by a backup that was cut off. */
const MANY = 8000
/** How long so many are left before it is tried to copy them: somebody still reads. Milliseconds. */
const pauseFor = (pages: number): number => (pages <= MOST ? 0 : pages <= MANY ? 1000 : 60_000)

/**
 * Makes the write-ahead log's way into the database this program's own matter. SQLite by itself copies, at some
 * commit, all that is there; after a long read, such as a backup, that is hundreds of mebibytes, and the event
 * loop stands still for seconds. So that much is left to whoever read (`emptyLog`), for a minute.
 * @returns what to call after each commit. It answers how many pages still wait, and never throws, as the commit
 * stands
 * @see https://sqlite.org/pragma.html#pragma_wal_checkpoint
 */
export function prepareCheckpoints(client: Database.Database): () => number {
  client.pragma('wal_autocheckpoint = 0')
  const look = client.prepare<[], Row>('pragma wal_checkpoint(NOOP)').raw()
  const copy = client.prepare<[], Row>('pragma wal_checkpoint(PASSIVE)').raw()
  let triedAt = performance.now()

  return () => {
    try {
      const waiting = waitingOf(look.get())
      const now = performance.now()
      if (waiting < ENOUGH || now - triedAt < pauseFor(waiting)) return waiting
      triedAt = now
      return waitingOf(copy.get())
    } catch {
      // Whoever commits next tries again, and says so where the disk is at fault.
      return 0
    }
  }
}

/** How often the log is copied while others write on. */
const ROUNDS = 10

/**
 * Copies all of the log, and cuts it where it is long: where nobody waits, before this process serves, or after
 * a long read in a process of its own. It never throws: what was read stands, and the brokers go on without.
 */
export function emptyLog(client: Database.Database): void {
  try {
    const copy = client.prepare<[], Row>('pragma wal_checkpoint(PASSIVE)').raw()
    let row = copy.get()
    const isLong = row !== undefined && row[1] > MOST
    for (let round = 1; round < ROUNDS && waitingOf(row) >= ENOUGH; round++) row = copy.get()
    if (isLong) client.pragma('wal_checkpoint(TRUNCATE)')
  } catch {
    // A file that can't be written.
  }
}

/** What SQLite answers: whether others were in the way, pages in the log, and how many of them are copied. */
type Row = [busy: 0 | 1, log: number, copied: number]

const waitingOf = (row: Row | undefined): number => (row ? row[1] - row[2] : 0)
