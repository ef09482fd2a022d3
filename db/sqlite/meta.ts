import { sql } from 'drizzle-orm'
import { meta } from './schema.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'

export function metaMethods({ db, read, write }: Engine): Pick<Store, 'getMeta' | 'setMeta'> {
  return {
    getMeta: () =>
      read(() => {
        const rows = db.select().from(meta).all()
        return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
      }),

    setMeta: (entries) =>
      write(() => {
        for (const [key, value] of Object.entries(entries)) {
          const set = { value: sql`excluded.value` }
          db.insert(meta).values({ key, value }).onConflictDoUpdate({ target: meta.key, set }).run()
        }
      }),
  }
}
