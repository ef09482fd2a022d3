import { and, eq, sql } from 'drizzle-orm'
import { isOneOf, type Engine } from '../sql/engine.ts'
import { sealed } from '../sql/schema.ts'
import type { SealedValues } from '../sql/sealed.ts'
import type { Sealed } from '../store.ts'

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
