import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import { apps, codes, flows, grants } from '../schema.sqlite.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { deleteFlows } from './flows.ts'
import type { SealedValues } from './sealed.ts'

type Methods = 'addApp' | 'getApp' | 'listApps' | 'updateApp' | 'removeApp' | 'hasOrigin'

export function appMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, read, write } = engine
  const get = db
    .select()
    .from(apps)
    .where(eq(apps.id, sql.placeholder('id')))
    .prepare()
  const findOrigin = db
    .select({ found: sql`1` })
    .from(apps)
    .where(
      sql`exists (select 1 from json_each(${apps.origins}) where value = ${sql.placeholder('origin')})`,
    )
    .limit(1)
    .prepare()

  return {
    addApp: (app, events) =>
      write(() => {
        db.insert(apps).values(app).run()
        insertEvents(engine, events)
      }),

    getApp: (id) => read(() => get.get({ id })),
    listApps: () => read(() => db.select().from(apps).orderBy(asc(apps.id)).all()),

    updateApp: (app, events) =>
      write(() => {
        if (db.update(apps).set(app).where(eq(apps.id, app.id)).run().changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    removeApp: (id, now, events) =>
      write(() => {
        if (db.delete(apps).where(eq(apps.id, id)).run().changes === 0) return false
        deleteFlows(engine, sealedValues, eq(flows.appId, id))
        db.delete(codes).where(eq(codes.appId, id)).run()
        const live = and(eq(grants.appId, id), isNull(grants.revokedAt))
        db.update(grants).set({ revokedAt: now }).where(live).run()
        insertEvents(engine, events)
        return true
      }),

    hasOrigin: (origin) => read(() => findOrigin.get({ origin }) !== undefined),
  }
}
