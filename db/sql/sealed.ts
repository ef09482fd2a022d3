import { sql, type SQL } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import { sealed } from './schema.ts'
import type { Sealed } from '../store.ts'

/** Stores sealed values where they can be overwritten for good: see the table `sealed`. */
export interface SealedValues {
  /** Stores a value; returns its id. */
  add(value: Sealed): number
  /** Stores `value` over another one, whose bytes are overwritten; returns its id. */
  replace(id: number | null, value: Sealed): number
  /** Overwrites values, and frees their rows for others. */
  erase(ids: (number | null)[]): void
  /** Overwrites a value, and keeps its row. */
  blank(id: number): void
}

/** The bytes of the value that a column refers to, in a `select`. */
export const bytesOf = <T = Sealed | null>(id: SQLiteColumn): SQL<T> =>
  sql<T>`(select ${sealed.bytes} from ${sealed} where ${sealed.id} = ${id})`
