import { and, asc, eq, isNotNull, lte, sql, type SQL } from 'drizzle-orm'
import { connections, retried } from './schema.ts'
import type { Millis, NewTokens, RefreshStore, Sealed } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import type { SealedValues } from './sealed.ts'

/** A literal, so that SQLite uses the partial index of accounts. */
export const unrevoked = sql`${connections.status} <> 'revoked'`

/** The connection that its writer has read, if no other has changed its tokens since. */
const unchanged = and(
  eq(connections.id, sql.placeholder('id')),
  eq(connections.generation, sql.placeholder('generation')),
  unrevoked,
)

type Row = typeof connections.$inferSelect

/** A connection's columns once its new tokens are stored. */
type StoredTokens = Partial<Row> &
  Pick<Row, 'refreshToken' | 'previousRefreshToken' | 'accessToken'>

/** Writes a connection's tokens within the current transaction. */
interface TokenWriter {
  /** The row, if it still has that generation and is not revoked. */
  find(id: string, generation: number): Row | undefined
  /** Overwrites the tokens of a row (`null`: a new row). */
  put(row: Row | null, tokens: NewTokens, previousRefreshToken: Sealed | null): StoredTokens
  /** The columns of a row that got new tokens at `now`: active, failures reset, generation incremented. */
  renewed(row: Row, stored: StoredTokens, now: Millis): Partial<Row>
}

export function createTokenWriter({ db }: Engine, sealedValues: SealedValues): TokenWriter {
  const find = db.select().from(connections).where(unchanged).prepare()

  const putPrevious = (id: number | null, value: Sealed | null): number | null => {
    if (value) return sealedValues.replace(id, value)
    sealedValues.erase([id])
    return null
  }

  return {
    find: (id, generation) => find.get({ id, generation }),

    put(row, tokens, previous) {
      const { accessTokenExpiresAt, accessTokenFetchedAt } = tokens
      return {
        refreshToken: sealedValues.replace(row?.refreshToken ?? null, tokens.refreshToken),
        previousRefreshToken: putPrevious(row?.previousRefreshToken ?? null, previous),
        accessToken: sealedValues.replace(row?.accessToken ?? null, tokens.accessToken),
        accessTokenExpiresAt,
        accessTokenFetchedAt,
      }
    },

    renewed: ({ generation }, stored, now) => ({
      ...stored,
      status: 'active',
      generation: generation + 1,
      failures: 0,
      rejections: 0,
      lastError: null,
      retryAt: null,
      restoredFrom: null,
      staleReason: null,
      importState: null,
      refreshedAt: now,
    }),
  }
}

/** Columns of a lease that nobody holds. */
export const noLease = { leaseOwner: null, leaseUntil: null }

type WantedLease = Parameters<RefreshStore['takeLease']>[0]
interface HeldLease {
  leaseOwner: string | null
  leaseUntil: number | null
}

/** Can that lease be taken? */
export function isFree(
  { leaseOwner, leaseUntil }: HeldLease,
  { owner, maxLeaseMs, deadOwner }: Pick<WantedLease, 'owner' | 'maxLeaseMs' | 'deadOwner'>,
  now: number,
): boolean {
  if (leaseOwner === null || leaseUntil === null) return true
  if (leaseOwner === owner || leaseOwner === deadOwner) return true
  return leaseUntil <= now || leaseUntil > now + maxLeaseMs
}

/** Values for the columns of a prepared update, by their names. Preparing it once saves a refresh a millisecond. */
const placeholders = (...names: (keyof Row)[]): Record<string, SQL> =>
  Object.fromEntries(names.map((name) => [name, sql`${sql.placeholder(name)}`]))

/** The columns that `renewed` and `noLease` have. */
const renewedColumns = placeholders(
  ...(['refreshToken', 'previousRefreshToken', 'accessToken', 'accessTokenExpiresAt'] as const),
  ...(['accessTokenFetchedAt', 'status', 'generation', 'failures', 'rejections'] as const),
  ...(['lastError', 'retryAt', 'restoredFrom', 'staleReason', 'importState'] as const),
  ...(['refreshedAt', 'leaseOwner', 'leaseUntil'] as const),
)

/** The lease of a connection, what its refresh brought, and refreshes that were interrupted or failed. */
export function refreshMethods(engine: Engine, sealedValues: SealedValues): RefreshStore {
  const { db, read, write, writeFleeting, steady } = engine
  const tokenWriter = createTokenWriter(engine, sealedValues)
  const findForLease = db
    .select({
      leaseOwner: connections.leaseOwner,
      leaseUntil: connections.leaseUntil,
      staleReason: connections.staleReason,
    })
    .from(connections)
    .where(unchanged)
    .prepare()

  const updateById = (values: Record<string, SQL>) =>
    db
      .update(connections)
      .set(values)
      .where(eq(connections.id, sql.placeholder('id')))
      .prepare()
  const setLease = updateById(placeholders('leaseOwner', 'leaseUntil', 'staleReason'))
  const setRenewed = updateById(renewedColumns)

  const leases = db
    .select({
      id: connections.id,
      leaseOwner: sql<string>`${connections.leaseOwner}`,
      leaseRemainingMs: sql<number>`${connections.leaseUntil} - ${sql.placeholder('now')}`,
    })
    .from(connections)
    .where(isNotNull(connections.leaseOwner))
    .orderBy(asc(connections.leaseUntil))
    .limit(sql.placeholder('limit'))
    .prepare()

  const failed = db
    .select({ id: connections.id })
    .from(connections)
    .where(and(retried, lte(connections.retryAt, sql.placeholder('retryBefore'))))
    .orderBy(asc(connections.retryAt))
    .limit(sql.placeholder('limit'))
    .prepare()

  return {
    takeLease: (lease) =>
      writeFleeting(() => {
        const { id, expectedGeneration, owner, forMs } = lease
        const row = findForLease.get({ id, generation: expectedGeneration })
        const now = steady()
        if (!row || !isFree(row, lease, now)) return false
        const leftBehind = row.leaseOwner !== null && row.leaseOwner !== owner
        const staleReason = leftBehind ? 'answer_lost' : row.staleReason
        setLease.run({ id, leaseOwner: owner, leaseUntil: now + forMs, staleReason })
        return true
      }),

    updateLease: ({ id, owner, forMs }) =>
      writeFleeting(() => {
        const lease = forMs === null ? noLease : { leaseUntil: steady() + forMs }
        const own = and(eq(connections.id, id), eq(connections.leaseOwner, owner))
        return db.update(connections).set(lease).where(own).run().changes === 1
      }),

    listLeases: (limit) => read(() => leases.all({ limit, now: steady() })),
    listFailed: (bounds) => read(() => failed.all(bounds).map(({ id }) => id)),

    saveTokens: ({ id, expectedGeneration, tokens, previousRefreshToken, ...refreshed }) =>
      write(() => {
        const row = tokenWriter.find(id, expectedGeneration)
        if (!row) return false
        const { failure, now, events } = refreshed
        const stored = tokenWriter.put(row, tokens, previousRefreshToken)
        const failed = failure ? { ...failure, failures: row.failures + 1 } : {}
        setRenewed.run({ id, ...tokenWriter.renewed(row, stored, now), ...failed, ...noLease })
        insertEvents(engine, events)
        return true
      }),

    saveFailure: ({ id, expectedGeneration, owner, dropPrevious, events, ...failure }) =>
      write(() => {
        const row = tokenWriter.find(id, expectedGeneration)
        if (!row || (row.leaseOwner !== null && row.leaseOwner !== owner)) return false
        const { status, lastError, retryAt, staleReason, isRejection } = failure
        if (dropPrevious) sealedValues.erase([row.previousRefreshToken])
        const dropped = dropPrevious ? { previousRefreshToken: null } : {}
        const failed = {
          status,
          lastError,
          retryAt,
          failures: row.failures + 1,
          rejections: row.rejections + (isRejection ? 1 : 0),
          staleReason: staleReason ?? row.staleReason,
        }
        db.update(connections)
          .set({ ...failed, ...dropped, ...noLease })
          .where(eq(connections.id, id))
          .run()
        insertEvents(engine, events)
        return true
      }),
  }
}
