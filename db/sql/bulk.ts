import {
  and,
  asc,
  desc,
  eq,
  getTableColumns,
  gt,
  inArray,
  isNotNull,
  isNull,
  lte,
  or,
  sql,
} from 'drizzle-orm'
import { bulkItems, bulks, connections } from './schema.ts'
import type { BulkStore, Millis, NewEvent } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { prepareRevoke } from './revoke.ts'
import type { SealedValues } from './sealed.ts'
import { noLease } from './refresh.ts'

/** Literals, so that SQLite uses the partial index `bulks_work`. */
const hasWork = sql`${bulks.status} in ('collecting', 'running')`
const began = { status: 'collecting', total: 0, revoked: 0, skipped: 0, failed: 0 } as const

/** The end of the lease is not in the contract. */
const { leaseUntil, ...columns } = getTableColumns(bulks)

type Outcome = 'revoked' | 'skipped' | 'failed'

/** Bulk revocations. */
export function bulkMethods(engine: Engine, sealedValues: SealedValues): BulkStore {
  const { client, db, read, write, once, steady } = engine
  const revokeConnection = prepareRevoke(engine, sealedValues)
  const select = () => db.select(columns).from(bulks)
  const find = (id: number) => select().where(eq(bulks.id, id)).get()
  const addItems = client.prepare(
    `insert into bulk_items (bulk_id, connection_id) select @id, connections.id
     from (select distinct value from json_each(@connectionIds)) as wanted cross join connections on connections.id = value
     where status <> 'revoked'`,
  )
  const removeItem = db
    .delete(bulkItems)
    .where(
      and(
        eq(bulkItems.bulkId, sql.placeholder('bulkId')),
        eq(bulkItems.connectionId, sql.placeholder('connectionId')),
      ),
    )
    .prepare()

  /** Makes it ready with those connections that can be revoked, each once. */
  const addPicked = (id: number, connectionIds: string[]): void => {
    const total = addItems.run({ id, connectionIds: JSON.stringify(connectionIds) }).changes
    db.update(bulks).set({ status: 'ready', total }).where(eq(bulks.id, id)).run()
  }

  /** Each in a savepoint of its own, so that a failure undoes only that one. */
  const revokeAlone = client.transaction(revokeConnection)

  /** Revokes one connection. @throws if the database can't be written to, which is not the row's fault */
  const revokeItem = (bulkId: number, connectionId: string, now: Millis): Outcome => {
    try {
      const ended = revokeAlone(connectionId, now)
      removeItem.run({ bulkId, connectionId })
      return ended ? 'revoked' : 'skipped'
    } catch (error) {
      if (!isOfRow(error)) throw error
      const item = and(eq(bulkItems.bulkId, bulkId), eq(bulkItems.connectionId, connectionId))
      db.update(bulkItems).set({ error: error.message }).where(item).run()
      return 'failed'
    }
  }

  /** The bulk revocation, if `owner` has its lease and it has that status. */
  const findOwn = (id: number, owner: string, status: 'collecting' | 'running') => {
    const bulk = find(id)
    return bulk?.leaseOwner === owner && bulk.status === status ? bulk : undefined
  }

  return {
    addBulk: (bulk, events) =>
      write(() => {
        const isPicked = 'connectionIds' in bulk
        const row = isPicked
          ? { ...bulk, ...began, ...noLease, filter: null }
          : { ...bulk, ...began, leaseUntil: steady() + bulk.leaseForMs }
        const { id } = db.insert(bulks).values(row).returning({ id: bulks.id }).get()
        if (isPicked) addPicked(id, bulk.connectionIds)
        insertEvents(engine, events(id))
        return id
      }),

    getBulk: (id) => read(() => find(id)),
    listBulks: (limit) => read(() => select().orderBy(desc(bulks.id)).limit(limit).all()),
    takeBulk: async ({ owner, forMs }) => {
      // Every process asks every two seconds: only with work there is a write transaction.
      const hasAny = () => db.select({ id: bulks.id }).from(bulks).where(hasWork).get()
      if (!(await read(hasAny))) return undefined
      return write(() => {
        const { leaseOwner } = bulks
        const now = steady()
        const until = now + forMs
        const free = or(isNull(leaseOwner), lte(leaseUntil, now), gt(leaseUntil, until))
        const query = select().where(and(hasWork, free))
        const bulk = query.orderBy(asc(bulks.id)).limit(1).get()
        if (!bulk) return undefined
        const lease = { leaseOwner: owner, leaseUntil: until }
        db.update(bulks).set(lease).where(eq(bulks.id, bulk.id)).run()
        return { ...bulk, leaseOwner: owner }
      })
    },

    updateBulk: ({ id, expected, changes, events }) =>
      write(() => {
        const { statuses, leaseOwner } = expected
        const set = changes.leaseOwner === null ? { ...changes, ...noLease } : changes
        const own = and(
          eq(bulks.id, id),
          statuses && inArray(bulks.status, statuses),
          leaseOwner === undefined ? undefined : eq(bulks.leaseOwner, leaseOwner),
        )
        if (db.update(bulks).set(set).where(own).run().changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    addBulkItems: ({ id, owner, forMs, connectionIds, cursor }) =>
      write(() => {
        const bulk = findOwn(id, owner, 'collecting')
        if (!bulk) return false
        const rows = connectionIds.map((connectionId) => ({ bulkId: id, connectionId }))
        const added =
          rows.length === 0
            ? 0
            : db.insert(bulkItems).values(rows).onConflictDoNothing().run().changes
        const next =
          cursor === null
            ? { status: 'ready' as const, ...noLease }
            : { leaseUntil: steady() + forMs }
        db.update(bulks)
          .set({ ...next, cursor, total: bulk.total + added, trouble: null })
          .where(eq(bulks.id, id))
          .run()
        return true
      }),

    revokeBulkItems: ({ id, owner, forMs, now, limit, maxDurationMs }) =>
      write(() => {
        const bulk = findOwn(id, owner, 'running')
        if (!bulk) return false
        const beganAt = once(() => performance.now())
        const { connectionId } = bulkItems
        const toDo = and(eq(bulkItems.bulkId, id), isNull(bulkItems.error))
        const query = db.select({ connectionId }).from(bulkItems).where(toDo)
        const items = query.orderBy(asc(connectionId)).limit(limit).all()
        const isLeft = () => db.select().from(bulkItems).where(toDo).limit(1).get() !== undefined
        const counts = { revoked: bulk.revoked, skipped: bulk.skipped, failed: bulk.failed }
        const { actor, address } = bulk
        const details = `bulk revocation ${id}`
        const event = { at: now, actor, action: 'connection.revoked', address, details }
        const events: NewEvent[] = []
        for (const { connectionId } of items) {
          const outcome = revokeItem(id, connectionId, now)
          counts[outcome]++
          if (outcome === 'revoked') events.push({ ...event, connectionId })
          if (once(() => performance.now() - beganAt > maxDurationMs)) break
        }
        insertEvents(engine, events)
        const done = { status: 'done', endedAt: now, ...noLease } as const
        db.update(bulks)
          .set({
            ...counts,
            trouble: null,
            ...(isLeft() ? { leaseUntil: steady() + forMs } : done),
          })
          .where(eq(bulks.id, id))
          .run()
        return true
      }),

    listBulkItems: ({ id, failed, limit }) =>
      read(() => {
        const { connectionId, error } = bulkItems
        const { username, status, accountId } = connections
        return db
          .select({ connectionId, error, username, status, accountId })
          .from(bulkItems)
          .innerJoin(connections, eq(connections.id, connectionId))
          .where(and(eq(bulkItems.bulkId, id), failed ? isNotNull(error) : undefined))
          .limit(limit)
          .all()
      }),
  }
}

/** Is the error about the row that was to be changed, and not about the database or its disk? */
function isOfRow(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return (typeof code === 'string' && /^(SQLITE_CONSTRAINT|23)/.test(code)) || isOfRow(error.cause)
}
