import { eq, sql } from 'drizzle-orm'
import { isOneOf, type Engine } from '../sql/engine.ts'
import { sealed } from '../sql/schema.ts'
import type { SealedValues } from '../sql/sealed.ts'
import type { Sealed } from '../store.ts'

/**
 * Sealed values in rows that are deleted: PostgreSQL keeps former versions of a row until it vacuums, so nothing can
 * be overwritten in place. See `purge` for what is left of them.
 */
export function createSealedValues({ db }: Pick<Engine, 'db'>): SealedValues {
  const add = (bytes: Sealed): number => {
    const values = { size: bytes.length, free: false, bytes }
    return db.insert(sealed).values(values).returning({ id: sealed.id }).get().id
  }

  return {
    add,

    replace(id, bytes) {
      if (id === null) return add(bytes)
      db.update(sealed).set({ bytes, size: bytes.length }).where(eq(sealed.id, id)).run()
      return id
    },

    erase(ids) {
      const used = ids.filter((id) => id !== null)
      if (used.length > 0) db.delete(sealed).where(isOneOf(sealed.id, used)).run()
    },

    blank(id) {
      const zeros = sql`zeroblob(${sealed.size})`
      db.update(sealed).set({ bytes: zeros }).where(eq(sealed.id, id)).run()
    },
  }
}
