import { and, eq, sql, type SQL } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import { sealed } from './schema.ts'
import type { Sealed } from '../store.ts'
import { isOneOf, type Engine } from './engine.ts'

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

/** As long as the value that it overwrites, so that SQLite writes to the same place. */
const zeros = sql`zeroblob(${sealed.size})`

const id = sql.placeholder('id')
const size = sql.placeholder('size')
const bytes = sql`${sql.placeholder('bytes')}`

export function createSealedValues({ db }: Pick<Engine, 'db'>): SealedValues {
  /** A literal 1, so that SQLite uses the index of free rows. */
  const isFree = sql`${sealed.free} = 1`
  const findFree = db
    .select({ id: sealed.id })
    .from(sealed)
    .where(and(eq(sealed.size, size), isFree))
    .limit(1)
    .prepare()
  const fill = db.update(sealed).set({ free: false, bytes }).where(eq(sealed.id, id)).prepare()
  const overwrite = db
    .update(sealed)
    .set({ bytes })
    .where(and(eq(sealed.id, id), eq(sealed.size, size)))
    .prepare()

  const add = (bytes: Sealed): number => {
    const size = bytes.length
    const free = findFree.get({ size })
    if (!free) {
      const values = { size, free: false, bytes }
      return db.insert(sealed).values(values).returning({ id: sealed.id }).get().id
    }
    fill.run({ id: free.id, bytes })
    return free.id
  }

  const erase = (ids: (number | null)[]): void => {
    const used = ids.filter((id) => id !== null)
    if (used.length === 0) return
    db.update(sealed).set({ free: true, bytes: zeros }).where(isOneOf(sealed.id, used)).run()
  }

  return {
    add,
    erase,

    replace(id, bytes) {
      if (id === null) return add(bytes)
      if (overwrite.run({ id, bytes, size: bytes.length }).changes === 1) return id
      erase([id])
      return add(bytes)
    },

    blank(id) {
      db.update(sealed).set({ bytes: zeros }).where(eq(sealed.id, id)).run()
    },
  }
}
