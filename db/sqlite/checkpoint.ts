import type Database from 'better-sqlite3'

/** Pages of 4 KiB in the write-ahead log that are worth copying into the database. */
const ENOUGH = 250
/** More than these would stop the event loop for too long, which a thousand do for some 50 ms on a plain disk. */
const MOST = 1000
/** How often more are tried all the same, milliseconds: whoever read so long may have died. */
const TRY_EVERY = 60_000

/**
 * Makes the write-ahead log's way into the database this program's own matter. SQLite by itself copies, at some
 * commit, all that is there; after a long read, such as a backup, that is hundreds of mebibytes, and the event
 * loop stands still for seconds. So that much is left to whoever read (`emptyLog`).
 * @returns what to call after each commit; it never throws, as the commit stands
 * @see https://sqlite.org/pragma.html#pragma_wal_checkpoint
 */
export function prepareCheckpoints(client: Database.Database): () => void {
  client.pragma('wal_autocheckpoint = 0')
  const look = client.prepare<[], Row>('pragma wal_checkpoint(NOOP)').raw()
  const copy = client.prepare('pragma wal_checkpoint(PASSIVE)')
  let leftAt: number | undefined

  return () => {
    try {
      const waiting = waitingOf(look.get())
      if (waiting < ENOUGH) return
      if (waiting > MOST) {
        leftAt ??= performance.now()
        if (performance.now() - leftAt < TRY_EVERY) return
      }
      leftAt = undefined
      copy.get()
    } catch {
      // Whoever commits next tries again, and says so where the disk is at fault.
    }
  }
}

/** How often the log is copied while others write on, before they have to wait for the rest. */
const ROUNDS = 10

/**
 * After a long read, in a process that nobody waits for: copies the log that grew meanwhile, and cuts it. It
 * never throws: what was read stands, and the brokers go on without.
 */
export function emptyLog(client: Database.Database): void {
  try {
    const copy = client.prepare<[], Row>('pragma wal_checkpoint(PASSIVE)').raw()
    for (let round = 0; round < ROUNDS && waitingOf(copy.get()) >= ENOUGH; round++);
    client.pragma('wal_checkpoint(TRUNCATE)')
  } catch {
    // A file that can't be written.
  }
}

/** What SQLite answers: whether others were in the way, pages in the log, and how many of them are copied. */
type Row = [busy: 0 | 1, log: number, copied: number]

const waitingOf = (row: Row | undefined): number => (row ? row[1] - row[2] : 0)
