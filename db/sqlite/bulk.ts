import { and, asc, desc, eq, gt, inArray, isNotNull, isNull, lte, or, sql } from 'drizzle-orm'
import { bulkItems, bulks, connections } from './schema.ts'
import type { Millis, NewEvent, Store } from '../store.ts'
import type { BulkStore } from '../store/bulk.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { prepareEnd } from './revoke.ts'
import type { SealedValues } from './sealed.ts'
import { noLease } from './tokens.ts'

/** The literals let SQLite use the partial index of work. */
const hasWork = sql`${bulks.status} in ('collecting', 'running')`
const began = { status: 'collecting', total: 0, revoked: 0, skipped: 0, failed: 0 } as const

type Outcome = 'revoked' | 'skipped' | 'failed'

/** Revocations of many connections at once. */
export function bulkMethods(
  engine: Engine,
  sealedValues: SealedValues,
): Pick<Store, keyof BulkStore> {
  const { client, db, read, write } = engine
  const endConnection = prepareEnd(engine, sealedValues)
  const find = (id: number) => db.select().from(bulks).where(eq(bulks.id, id)).get()
  const removeItem = db
    .delete(bulkItems)
    .where(
      and(
        eq(bulkItems.bulkId, sql.placeholder('bulkId')),
        eq(bulkItems.connectionId, sql.placeholder('connectionId')),
      ),
    )
    .prepare()

  /** A savepoint each, so that one that fails takes nothing with it. */
  const endAlone = client.transaction(endConnection)

  /** What became of one connection; a database that can't be written to is no fault of its own. */
  const revokeItem = (bulkId: number, connectionId: string, now: Millis): Outcome => {
    try {
      const ended = endAlone(connectionId, now)
      removeItem.run({ bulkId, connectionId })
      return ended ? 'revoked' : 'skipped'
    } catch (error) {
      if (!isOfRow(error)) throw error
      const item = and(eq(bulkItems.bulkId, bulkId), eq(bulkItems.connectionId, connectionId))
      db.update(bulkItems).set({ error: error.message }).where(item).run()
      return 'failed'
    }
  }

  /** The bulk, if `owner` may go on with it. */
  const findOwn = (id: number, owner: string, status: 'collecting' | 'running') => {
    const bulk = find(id)
    return bulk?.leaseOwner === owner && bulk.status === status ? bulk : undefined
  }

  return {
    addBulk: (bulk, events) =>
      write(() => {
        const row = { ...bulk, ...began }
        const { id } = db.insert(bulks).values(row).returning({ id: bulks.id }).get()
        insertEvents(engine, events(id))
        return id
      }),

    getBulk: (id) => read(() => find(id)),
    listBulks: (limit) =>
      read(() => db.select().from(bulks).orderBy(desc(bulks.id)).limit(limit).all()),
    hasBulkWork: () =>
      read(() => db.select({ id: bulks.id }).from(bulks).where(hasWork).get() !== undefined),

    takeBulk: ({ owner, now, until, longest }) =>
      write(() => {
        const { leaseOwner, leaseUntil } = bulks
        const free = or(isNull(leaseOwner), lte(leaseUntil, now), gt(leaseUntil, now + longest))
        const query = db.select().from(bulks).where(and(hasWork, free))
        const bulk = query.orderBy(asc(bulks.id)).limit(1).get()
        if (!bulk) return undefined
        const lease = { leaseOwner: owner, leaseUntil: until }
        db.update(bulks).set(lease).where(eq(bulks.id, bulk.id)).run()
        return { ...bulk, ...lease }
      }),

    freeBulk: ({ id, owner, trouble }) =>
      write(() => {
        const own = and(eq(bulks.id, id), eq(bulks.leaseOwner, owner))
        db.update(bulks)
          .set({ ...noLease, trouble })
          .where(own)
          .run()
      }),

    addBulkItems: ({ id, owner, until, connectionIds, cursor }) =>
      write(() => {
        const bulk = findOwn(id, owner, 'collecting')
        if (!bulk) return false
        const rows = connectionIds.map((connectionId) => ({ bulkId: id, connectionId }))
        const added =
          rows.length === 0
            ? 0
            : db.insert(bulkItems).values(rows).onConflictDoNothing().run().changes
        const next =
          cursor === null ? { status: 'ready' as const, ...noLease } : { leaseUntil: until }
        db.update(bulks)
          .set({ ...next, cursor, total: bulk.total + added, trouble: null })
          .where(eq(bulks.id, id))
          .run()
        return true
      }),

    startBulk: ({ id, actor, address, now, events }) =>
      write(() => {
        const ready = and(eq(bulks.id, id), eq(bulks.status, 'ready'))
        const running = { status: 'running', startedAt: now, actor, address } as const
        if (db.update(bulks).set(running).where(ready).run().changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    cancelBulk: ({ id, statuses, now, events }) =>
      write(() => {
        const cancelled = { status: 'cancelled', endedAt: now, trouble: null, ...noLease } as const
        const one = and(eq(bulks.id, id), inArray(bulks.status, statuses))
        if (db.update(bulks).set(cancelled).where(one).run().changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    revokeBulkItems: ({ id, owner, now, until, limit, within }) =>
      write(() => {
        const bulk = findOwn(id, owner, 'running')
        if (!bulk) return false
        const beganAt = performance.now()
        const { connectionId } = bulkItems
        const toDo = and(eq(bulkItems.bulkId, id), isNull(bulkItems.error))
        const items = db.select({ connectionId }).from(bulkItems).where(toDo).limit(limit).all()
        const counts = { revoked: bulk.revoked, skipped: bulk.skipped, failed: bulk.failed }
        const { actor, address } = bulk
        const details = `bulk revocation ${id}`
        const event = { at: now, actor, action: 'connection.revoked', address, details }
        const events: NewEvent[] = []
        let worked = 0
        for (const { connectionId } of items) {
          const outcome = revokeItem(id, connectionId, now)
          counts[outcome]++
          if (outcome === 'revoked') events.push({ ...event, connectionId })
          worked++
          if (performance.now() - beganAt > within) break
        }
        insertEvents(engine, events)
        const done = { status: 'done', endedAt: now, ...noLease } as const
        db.update(bulks)
          .set({
            ...counts,
            trouble: null,
            ...(worked < limit && worked === items.length ? done : { leaseUntil: until }),
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

/** Is it about the rows that were to be changed, rather than about the database or its disk? */
function isOfRow(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return (typeof code === 'string' && code.startsWith('SQLITE_CONSTRAINT')) || isOfRow(error.cause)
}
