import { isDeepStrictEqual } from 'node:util'
import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import { apps, codes, deviceCodes, grants } from './schema.ts'
import type { Store } from '../store.ts'
import { isOneOf, type Engine } from './engine.ts'
import { insertEvents } from './events.ts'

type Methods =
  'addApp' | 'getApp' | 'listApps' | 'updateApp' | 'hasOrigin' | 'revokeGrantsOfRemovedApps'

export function appMethods(engine: Engine): Pick<Store, Methods> {
  const { client, db, read, write } = engine
  const get = db
    .select()
    .from(apps)
    .where(eq(apps.id, sql.placeholder('id')))
    .prepare()
  const list = db.select().from(apps).orderBy(asc(apps.id)).prepare()
  const findOrigin = db
    .select({ found: sql`1` })
    .from(apps)
    .where(
      sql`${apps.session} = coalesce(${sql.placeholder('session')}, ${apps.session})
        and exists (select 1 from json_each(${apps.origins}) where value = ${sql.placeholder('origin')}
        or value = ${sql.placeholder('anyPortOf')}
        or rtrim(value, '0123456789') = ${sql.placeholder('anyPortOf')} || ':')`,
    )
    .limit(1)
    .prepare()

  /** A removed app that still has grants, and the connections they are on. */
  const findRemoved = client
    .prepare(
      `select app_id from listing_apps where not exists (select 1 from apps where id = app_id)
       and exists (select 1 from listing where app = listing_apps.n) limit 1`,
    )
    .pluck()
  const findConnected = client
    .prepare(
      `select connection_id from listing_apps cross join listing on app = listing_apps.n
       cross join listing_names on listing_names.n = listing.n where app_id = ? limit ?`,
    )
    .pluck()

  const remove = (id: string): void => {
    db.delete(apps).where(eq(apps.id, id)).run()
    db.delete(codes).where(eq(codes.appId, id)).run()
    db.delete(deviceCodes).where(eq(deviceCodes.appId, id)).run()
  }

  return {
    addApp: (app, events) =>
      write(() => {
        db.insert(apps).values(app).run()
        insertEvents(engine, events)
      }),

    getApp: (id) => read(() => get.get({ id })),
    listApps: () => read(() => list.all()),

    updateApp: (before, after, events) =>
      write(() => {
        const { id } = before
        if (!isDeepStrictEqual(get.get({ id }), before)) return false
        if (after) db.update(apps).set(after).where(eq(apps.id, id)).run()
        else remove(id)
        insertEvents(engine, events)
        return true
      }),

    revokeGrantsOfRemovedApps: ({ now, limit }) =>
      write(() => {
        const appId = findRemoved.get() as string | undefined
        if (appId === undefined) return 0
        const ids = findConnected.all(appId, limit) as string[]
        const own = and(isOneOf(grants.connectionId, ids), eq(grants.appId, appId))
        const live = and(own, isNull(grants.revokedAt))
        db.update(grants).set({ revokedAt: now }).where(live).run()
        return ids.length
      }),

    hasOrigin: (query) => read(() => findOrigin.get({ session: null, ...query }) !== undefined),
  }
}
