import type Database from 'better-sqlite3'
import { sql, type SQL } from 'drizzle-orm'
import type { BetterSQLite3Database } from 'drizzle-orm/better-sqlite3'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'

/** A connection, as far as the groups of store methods use it themselves. */
export type SqlClient = Pick<Database.Database, 'prepare' | 'transaction'>

/**
 * What the groups of store methods share: a connection to a database, and ways to run work on it. Work is synchronous,
 * and what it returns comes from the statements that it runs: an engine may run it several times.
 */
export interface Engine {
  client: SqlClient
  db: BetterSQLite3Database
  /** Runs one statement. Reads that must be consistent go into one statement, or into one `write`. */
  read: <T>(work: () => T) => Promise<T>
  /**
   * Like `read`, for what every exchange reads: an engine may run the reads of one turn of the event loop together,
   * at its end. They see what was committed before each of them was asked for. `work` gets the version of what it
   * reads: another read with the same version would bring the same. NaN: not known.
   */
  readTogether: <T>(work: (version: number) => T) => Promise<T>
  /** Runs `work` as one transaction, as if it were the only one, committed when the promise resolves. */
  write: <T>(work: () => T) => Promise<T>
  /** As `write`; a loss of power may undo it, if all processes end with it. For leases and the like. */
  writeFleeting: <T>(work: () => T) => Promise<T>
  /** The clock that leases are measured by, milliseconds. All processes share it, and it is not set. Within work. */
  steady: () => number
  /** Within work: a value that stays the same if the engine runs the work again. */
  once: <T>(compute: () => T) => T
  /** Within the current transaction: others that write events wait for it, so ids are in the order of commits. */
  orderEvents: () => void
  grams: Grams
  /** Deletes rows of a table, `limit` at most. Returns how many. */
  deleteSome: (table: SQLiteTable, where: SQL | undefined, limit: number) => number
}

/** The index of names by any three letters. */
export interface Grams {
  /** `from` and `where` of a query that finds names with `@phrase`. */
  found: string
  /** The column with the number of a name. */
  n: string
  /** The phrase that finds names with a text in them, of three letters or more. */
  phraseOf: (text: string) => string
}

/** Is the column one of these? They are one parameter; `inArray` takes at most 32,766. */
export const isOneOf = (column: SQLiteColumn, values: (string | number)[]): SQL =>
  sql`${column} in (select ${sql.raw(column.dataType === 'number' ? 'cast(value as bigint)' : 'value')}
    from json_each(${JSON.stringify(values)}))`
