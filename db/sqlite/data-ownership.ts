import { and, asc, eq, gt, isNotNull, ne } from 'drizzle-orm'
import { fold } from '../fold.ts'
import { connections, grants } from './schema.ts'
import type { DataOwnershipStore } from '../store/data-ownership.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import type { SealedValues } from './sealed.ts'
import { noLease, unrevoked } from './tokens.ts'

export function dataOwnershipMethods(
  { db, write, ...rest }: Engine,
  sealedValues: SealedValues,
): DataOwnershipStore {
  const engine = { db, write, ...rest }
  const live = (id: string) => and(eq(connections.id, id), unrevoked)

  return {
    identifyConnection: ({ id, accountId, username }) =>
      write(() => {
        if (accountId !== null) {
          const other = and(eq(connections.accountId, accountId), unrevoked, ne(connections.id, id))
          if (db.select({ id: connections.id }).from(connections).where(other).get()) return false
        }
        const known = { accountId, username, nameKey: fold(username) }
        return db.update(connections).set(known).where(live(id)).run().changes === 1
      }),

    removeConnection: (id) =>
      write(() => {
        const erased = and(eq(connections.id, id), isNotNull(connections.erasedAt))
        return db.delete(connections).where(erased).run().changes === 1
      }),

    addGrant: (grant, events) =>
      write(() => {
        const { id, connectionId } = grant
        if (!db.select({ id: connections.id }).from(connections).where(live(connectionId)).get()) {
          return false
        }
        if (db.select({ id: grants.id }).from(grants).where(eq(grants.id, id)).get()) return false
        db.insert(grants).values(grant).run()
        insertEvents(engine, events)
        return true
      }),

    markConnectionsForReconnect: ({ after, limit, toOtherApi, reason }) =>
      write(() => {
        const further = after === null ? undefined : gt(connections.id, after)
        const query = db.select().from(connections).where(and(further, unrevoked))
        const rows = query.orderBy(asc(connections.id)).limit(limit).all()
        for (const row of rows) {
          const { id, refreshToken, previousRefreshToken, accessToken, generation } = row
          if (toOtherApi) sealedValues.erase([refreshToken, previousRefreshToken, accessToken])
          const markedForReconnect = {
            status: 'needs_reconnect',
            lastError: reason,
            retryAt: null,
          } as const
          const without = toOtherApi ? { ...nothing, generation: generation + 1 } : {}
          db.update(connections)
            .set({ ...markedForReconnect, ...without, ...noLease })
            .where(eq(connections.id, id))
            .run()
        }
        return rows.at(-1)?.id ?? null
      }),
  }
}

/** What is left of a connection whose account is of another API. */
const nothing = {
  accountId: null,
  refreshToken: null,
  previousRefreshToken: null,
  accessToken: null,
  accessTokenExpiresAt: null,
  accessTokenFetchedAt: null,
  importState: null,
}
