import { and, asc, eq, gt, inArray, isNull } from 'drizzle-orm'
import { codes, connections, events, grants } from '../schema.sqlite.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import type { SealedValues } from './sealed.ts'
import { noLease, unrevoked } from './tokens.ts'

type Methods =
  | 'getGrant'
  | 'listGrants'
  | 'revokeGrant'
  | 'revokeAppGrants'
  | 'revokeConnection'
  | 'eraseConnection'

/** A revoked connection has none of these; its account and username stay until it is swept. */
const noTokens = {
  refreshToken: null,
  previousRefreshToken: null,
  accessToken: null,
  accessTokenExpiresAt: null,
  accessTokenFetchedAt: null,
}

export function revokeMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, read, write } = engine

  const end = (row: typeof connections.$inferSelect, now: number): void => {
    sealedValues.erase([row.refreshToken, row.previousRefreshToken, row.accessToken])
    const revoked = { status: 'revoked', revokedAt: now, generation: row.generation + 1 } as const
    db.update(connections)
      .set({ ...revoked, ...noTokens, ...noLease, retryAt: null })
      .where(eq(connections.id, row.id))
      .run()
    db.delete(codes).where(eq(codes.connectionId, row.id)).run()
    const live = and(eq(grants.connectionId, row.id), isNull(grants.revokedAt))
    db.update(grants).set({ revokedAt: now }).where(live).run()
  }

  /** What tells whose connection it was. What an admin did to it, and from where, stays. */
  const forget = (id: string, now: number): void => {
    const person = { accountId: null, username: '', nameKey: '', lastError: null }
    const forgotten = { ...person, personErasedAt: now }
    db.update(connections).set(forgotten).where(eq(connections.id, id)).run()
    db.update(grants).set({ device: '' }).where(eq(grants.connectionId, id)).run()
    const theirs = and(eq(events.connectionId, id), inArray(events.actor, ['user', 'app']))
    db.update(events).set({ address: null, details: null }).where(theirs).run()
  }

  return {
    getGrant: (id) => read(() => db.select().from(grants).where(eq(grants.id, id)).get()),

    listGrants: (filter) =>
      read(() => {
        const query = db.select().from(grants).orderBy(asc(grants.id)).$dynamic()
        if ('connectionId' in filter) {
          return query.where(eq(grants.connectionId, filter.connectionId)).all()
        }
        const after = filter.after === null ? undefined : gt(grants.id, filter.after)
        return query
          .where(and(eq(grants.appId, filter.appId), after))
          .limit(filter.limit)
          .all()
      }),

    revokeGrant: ({ id, now, events }) =>
      write(() => {
        const live = and(eq(grants.id, id), isNull(grants.revokedAt))
        const revoked = db.update(grants).set({ revokedAt: now }).where(live).run()
        if (revoked.changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    revokeAppGrants: ({ connectionId, appId, now, events }) =>
      write(() => {
        const own = and(eq(grants.connectionId, connectionId), eq(grants.appId, appId))
        const live = and(own, isNull(grants.revokedAt))
        const revoked = db.update(grants).set({ revokedAt: now }).where(live).run().changes
        const ofApp = and(eq(codes.connectionId, connectionId), eq(codes.appId, appId))
        const unused = and(ofApp, isNull(codes.usedAt))
        const removed = db.delete(codes).where(unused).run().changes
        if (revoked + removed > 0) insertEvents(engine, events)
        return revoked
      }),

    revokeConnection: ({ id, now, events }) =>
      write(() => {
        const live = and(eq(connections.id, id), unrevoked)
        const row = db.select().from(connections).where(live).get()
        if (!row) return false
        end(row, now)
        insertEvents(engine, events)
        return true
      }),

    eraseConnection: ({ id, now, events }) =>
      write(() => {
        const known = and(eq(connections.id, id), isNull(connections.personErasedAt))
        const row = db.select().from(connections).where(known).get()
        if (!row) return false
        if (row.status !== 'revoked') end(row, now)
        forget(id, now)
        insertEvents(engine, events)
        return true
      }),
  }
}
