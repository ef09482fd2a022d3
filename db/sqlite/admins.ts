import { asc, eq } from 'drizzle-orm'
import { admins } from '../schema.sqlite.ts'
import type { NewEvent, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'

type Methods = 'addAdmin' | 'listAdmins' | 'setAdminPassword' | 'removeAdmin'

export function adminMethods(engine: Engine): Pick<Store, Methods> {
  const { db, read, write } = engine

  /** Runs a change; its events are written if it took place. */
  const change = (work: () => { changes: number }, events: NewEvent[]): Promise<boolean> =>
    write(() => {
      if (work().changes === 0) return false
      insertEvents(engine, events)
      return true
    })

  return {
    addAdmin: (admin, events) => {
      const target = admins.email
      return change(
        () => db.insert(admins).values(admin).onConflictDoNothing({ target }).run(),
        events,
      )
    },

    listAdmins: () => read(() => db.select().from(admins).orderBy(asc(admins.email)).all()),

    setAdminPassword: ({ email, passwordHash }, events) =>
      change(
        () => db.update(admins).set({ passwordHash }).where(eq(admins.email, email)).run(),
        events,
      ),

    removeAdmin: (email, events) =>
      change(() => db.delete(admins).where(eq(admins.email, email)).run(), events),
  }
}
