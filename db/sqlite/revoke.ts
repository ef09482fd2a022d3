import { and, asc, eq, gt, inArray, isNull, sql } from 'drizzle-orm'
import { codes, connections, deviceCodes, events, grants } from './schema.ts'
import type { Millis, Store } from '../store.ts'
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
  const endConnection = prepareEnd(engine, sealedValues)

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
        const waiting = and(
          eq(deviceCodes.connectionId, connectionId),
          eq(deviceCodes.appId, appId),
          isNull(deviceCodes.usedAt),
        )
        const removed =
          db.delete(codes).where(unused).run().changes +
          db.delete(deviceCodes).where(waiting).run().changes
        if (revoked + removed > 0) insertEvents(engine, events)
        return revoked
      }),

    revokeConnection: ({ id, now, why, events }) =>
      write(() => {
        if (!endConnection(id, now)) return false
        if (why) db.update(connections).set(why).where(eq(connections.id, id)).run()
        insertEvents(engine, events)
        return true
      }),

    eraseConnection: ({ id, now, events }) =>
      write(() => {
        const known = and(eq(connections.id, id), isNull(connections.personErasedAt))
        if (!db.select({ id: connections.id }).from(connections).where(known).get()) return false
        endConnection(id, now)
        forget(id, now)
        insertEvents(engine, events)
        return true
      }),
  }
}

/**
 * Prepares the end of a connection, within the transaction under way. Answers `false` where there is none,
 * or it was revoked before.
 */
export function prepareEnd(
  { db }: Pick<Engine, 'db'>,
  sealedValues: SealedValues,
): (id: string, now: Millis) => boolean {
  const id = sql.placeholder('id')
  const now = sql`${sql.placeholder('now')}`
  const find = db
    .select()
    .from(connections)
    .where(and(eq(connections.id, id), unrevoked))
    .prepare()
  const revoked = { status: 'revoked', revokedAt: now, retryAt: null } as const
  const revoke = db
    .update(connections)
    .set({
      ...{ ...revoked, ...noTokens, ...noLease },
      generation: sql`${connections.generation} + 1`,
    })
    .where(eq(connections.id, id))
    .prepare()
  const removeCodes = db.delete(codes).where(eq(codes.connectionId, id)).prepare()
  const removeDeviceCodes = db.delete(deviceCodes).where(eq(deviceCodes.connectionId, id)).prepare()
  const revokeGrants = db
    .update(grants)
    .set({ revokedAt: now })
    .where(and(eq(grants.connectionId, id), isNull(grants.revokedAt)))
    .prepare()

  return (id, now) => {
    const row = find.get({ id })
    if (!row) return false
    sealedValues.erase([row.refreshToken, row.previousRefreshToken, row.accessToken])
    removeCodes.run({ id })
    removeDeviceCodes.run({ id })
    // Before the status: what the listing loses with them hasn't to be moved in it first.
    revokeGrants.run({ id, now })
    revoke.run({ id, now })
    return true
  }
}
