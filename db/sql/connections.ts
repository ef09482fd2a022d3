import { and, asc, desc, eq, getTableColumns, gt, isNotNull, ne, sql } from 'drizzle-orm'
import { fold } from '../fold.ts'
import { codes, connections } from './schema.ts'
import type { Store } from '../store.ts'
import { isOneOf, type Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'
import { createTokenWriter, noLease, unrevoked } from './refresh.ts'

type Methods =
  | 'getConnection'
  | 'getUsernames'
  | 'findConnection'
  | 'listConnectionsOfAccount'
  | 'saveConnection'
  | 'identifyConnection'
  | 'removeConnection'
  | 'markConnectionsForReconnect'
type NewConnection = Parameters<Store['saveConnection']>[0]

const { nameKey, sequence, leaseUntil, ...own } = getTableColumns(connections)

/** A connection with its sealed values in place of their ids. */
const columns = {
  ...own,
  refreshToken: bytesOf(connections.refreshToken),
  previousRefreshToken: bytesOf(connections.previousRefreshToken),
  accessToken: bytesOf(connections.accessToken),
  leaseRemainingMs: sql<number | null>`${leaseUntil} - ${sql.placeholder('steadyNow')}`,
}

export function connectionMethods(
  engine: Engine,
  sealedValues: SealedValues,
): Pick<Store, Methods> {
  const { db, read, write, steady } = engine
  const tokenWriter = createTokenWriter(engine, sealedValues)
  const select = () => db.select(columns).from(connections).$dynamic()
  const get = select()
    .where(eq(connections.id, sql.placeholder('id')))
    .prepare()
  const find = select()
    .where(and(eq(connections.accountId, sql.placeholder('accountId')), unrevoked))
    .prepare()

  /** Does another unrevoked connection have that account? */
  const isTaken = ({ id, accountId }: Pick<NewConnection, 'id' | 'accountId'>): boolean => {
    if (accountId === null) return false
    const other = and(eq(connections.accountId, accountId), unrevoked, ne(connections.id, id))
    return db.select({ id: connections.id }).from(connections).where(other).get() !== undefined
  }

  const create = (connection: NewConnection): boolean => {
    const { id, accountId, username, tokens, now, importState = null } = connection
    if (!tokens || get.get({ id, steadyNow: 0 })) return false
    const stored = tokenWriter.put(null, tokens, null)
    const begin = { status: 'active', generation: 1, failures: 0, connectedAt: now } as const
    db.insert(connections)
      .values({
        id,
        accountId,
        username,
        nameKey: fold(username),
        importState,
        ...begin,
        ...stored,
      })
      .run()
    return true
  }

  const renew = (connection: NewConnection, expectedGeneration: number): boolean => {
    const { id, tokens, now } = connection
    const row = tokenWriter.find(id, expectedGeneration)
    if (!row || (!tokens && row.status !== 'active')) return false
    const renewed = tokens && {
      ...tokenWriter.renewed(row, tokenWriter.put(row, tokens, null), now),
      ...noLease,
    }
    // If upstream no longer tells the account, the known account still holds.
    const accountId = connection.accountId ?? row.accountId
    const username = connection.username || row.username
    db.update(connections)
      .set({ ...renewed, accountId, username, nameKey: fold(username) })
      .where(eq(connections.id, id))
      .run()
    return true
  }

  return {
    getConnection: (id) => read(() => get.get({ id, steadyNow: steady() })),

    getUsernames: async (ids) => {
      if (ids.length === 0) return new Map()
      return read(() => {
        const { id, username } = connections
        const rows = db.select({ id, username }).from(connections).where(isOneOf(id, ids)).all()
        return new Map(rows.map((row) => [row.id, row.username]))
      })
    },

    findConnection: (accountId) => read(() => find.get({ accountId, steadyNow: steady() })),

    // Two conditions, as each of the two indexes has only some of the rows.
    listConnectionsOfAccount: (accountId) =>
      read(() => {
        const own = eq(connections.accountId, accountId)
        const former = select().where(and(own, eq(connections.status, 'revoked')))
        const ordered = former.orderBy(desc(connections.connectedAt), desc(connections.id))
        const steadyNow = steady()
        const current = find.get({ accountId, steadyNow })
        const rows = ordered.prepare().all({ steadyNow })
        return current ? [current, ...rows] : rows
      }),

    saveConnection: (connection) =>
      write(() => {
        const { expectedGeneration, code, events } = connection
        if (isTaken(connection)) return false
        const saved =
          expectedGeneration === null ? create(connection) : renew(connection, expectedGeneration)
        if (!saved) return false
        if (code) db.insert(codes).values(code).run()
        insertEvents(engine, events)
        return true
      }),

    identifyConnection: ({ id, accountId, username }) =>
      write(() => {
        if (isTaken({ id, accountId })) return false
        const live = and(eq(connections.id, id), unrevoked)
        const account = { accountId, username, nameKey: fold(username) }
        return db.update(connections).set(account).where(live).run().changes === 1
      }),

    removeConnection: (id) =>
      write(() => {
        const erased = and(eq(connections.id, id), isNotNull(connections.erasedAt))
        return db.delete(connections).where(erased).run().changes === 1
      }),

    markConnectionsForReconnect: ({ after, limit, toOtherApi, reason }) =>
      write(() => {
        const further = after === null ? undefined : gt(connections.id, after)
        const query = db.select().from(connections).where(and(further, unrevoked))
        const rows = query.orderBy(asc(connections.id)).limit(limit).all()
        // Few statements for all rows: on PostgreSQL, each is a round trip.
        if (toOtherApi) {
          const tokens = rows.flatMap((row) => [
            row.refreshToken,
            row.previousRefreshToken,
            row.accessToken,
          ])
          sealedValues.erase(tokens)
        }
        const marked = { status: 'needs_reconnect', lastError: reason, retryAt: null } as const
        const generation = sql`${connections.generation} + 1`
        const dropped = toOtherApi ? { ...noAccount, generation } : {}
        const ids = rows.map(({ id }) => id)
        db.update(connections)
          .set({ ...marked, ...dropped, ...noLease })
          .where(isOneOf(connections.id, ids))
          .run()
        return rows.at(-1)?.id ?? null
      }),
  }
}

/** A connection without tokens. */
export const noTokens = {
  refreshToken: null,
  previousRefreshToken: null,
  accessToken: null,
  accessTokenExpiresAt: null,
  accessTokenFetchedAt: null,
  importState: null,
}

/** A connection whose account belongs to another API. */
const noAccount = { accountId: null, ...noTokens }
