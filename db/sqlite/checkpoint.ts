import type Database from 'better-sqlite3'

/** Pages of 4 KiB in the write-ahead log that are worth copying into the database. */
const MIN_CHECKPOINT_PAGES = 250
/** Copying this many pages blocks the event loop for some 50 ms on a plain disk. */
export const MAX_CHECKPOINT_PAGES = 1000
/** A read of some seconds leaves up to this many pages; an interrupted backup leaves more. */
const LONG_READ_PAGES = 8000
/** How long this many pages are left alone, as somebody may still be reading. */
const pauseMsFor = (pages: number): number =>
  pages <= MAX_CHECKPOINT_PAGES ? 0 : pages <= LONG_READ_PAGES ? 1000 : 60_000

/**
 * Controls when the write-ahead log is copied into the database. SQLite by itself copies all of it at some
 * commit; after a long read, such as a backup, that is hundreds of mebibytes and blocks the event loop for
 * seconds. So a long log is left to the reader (`emptyLog`) for a minute.
 * @returns a function to call after each commit: it returns how many pages are not copied yet, and never
 *   throws, as the commit took place
 * @see https://sqlite.org/pragma.html#pragma_wal_checkpoint
 */
export function prepareCheckpoints(client: Database.Database): () => number {
  client.pragma('wal_autocheckpoint = 0')
  const look = client.prepare<[], Row>('pragma wal_checkpoint(NOOP)').raw()
  const copy = client.prepare<[], Row>('pragma wal_checkpoint(PASSIVE)').raw()
  let triedAt = performance.now()

  return () => {
    try {
      const pending = pendingPagesOf(look.get())
      const now = performance.now()
      if (pending < MIN_CHECKPOINT_PAGES || now - triedAt < pauseMsFor(pending)) return pending
      triedAt = now
      return pendingPagesOf(copy.get())
    } catch {
      // The next commit tries again, and reports an error of the disk.
      return 0
    }
  }
}

/** How often the log is copied while others continue to write. */
const MAX_ROUNDS = 10

/**
 * Copies all of the log, and truncates it if it is long. For processes that serve nobody: before serving
 * starts, or after a long read in a process of its own. Never throws: the read was successful all the same.
 */
export function emptyLog(client: Database.Database): void {
  try {
    const copy = client.prepare<[], Row>('pragma wal_checkpoint(PASSIVE)').raw()
    let row = copy.get()
    const isLong = row !== undefined && row[1] > MAX_CHECKPOINT_PAGES
    for (let round = 1; round < MAX_ROUNDS && pendingPagesOf(row) >= MIN_CHECKPOINT_PAGES; round++)
      row = copy.get()
    if (isLong) client.pragma('wal_checkpoint(TRUNCATE)')
  } catch {
    // The file can't be written.
  }
}

/** SQLite's answer: whether others were in the way, pages in the log, and copied pages. */
type Row = [busy: 0 | 1, log: number, copied: number]

const pendingPagesOf = (row: Row | undefined): number => (row ? row[1] - row[2] : 0)
