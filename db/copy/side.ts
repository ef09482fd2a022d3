import type { CopiedTable, Row } from './tables.ts'

/** How many rows of a table are in memory at a time. */
export const PAGE_ROWS = 2000

/** The rows of a table: how many, and a hash (SHA-256, hexadecimal) of them in the order of their keys. */
export interface TableHash {
  rows: number
  hash: string
}

/** A store that is copied, or the copy. */
interface Side {
  /** Where it is, for people: without a password. */
  readonly name: string
  /** All entries, with those of `MARKS`. */
  readMeta(): Promise<Record<string, string>>
  /** Pages of rows in the order of their keys, from the first one or after a key. */
  pages(table: CopiedTable, after: Row | null): AsyncIterable<Row[]>
  hashOf(table: CopiedTable): Promise<TableHash>
  close(): Promise<void>
}

/** The store that is copied. It is read as of the moment when it was opened. */
export interface TableReader extends Side {
  /** Changes with every write. */
  readonly version: string
  /** The last id that each table with a sequence has given, whether or not its row is still there. */
  lastIds(): Promise<Record<string, number>>
  /** Records where the store is now, so that no broker serves it. An empty text: it is served again. */
  setMoved(moved: string): Promise<void>
}

/** The copy. Until it is complete, no broker can serve it. */
export interface TableWriter extends Side {
  /** Removes what an earlier copy has written. */
  clear(): Promise<void>
  /** Marks the copy as unfinished. What the mark says survives, as does everything that was appended. */
  setUnfinished(mark: string): Promise<void>
  /** The key of the last row; `null`: the table is empty. */
  lastKey(table: CopiedTable): Promise<Row | null>
  append(table: CopiedTable, rows: Row[]): Promise<void>
  /** Writes what is derived from the rows, and the last ids. May run again. */
  derive(lastIds: Record<string, number>): Promise<void>
  /** From now on it can be served. */
  complete(): Promise<void>
}
