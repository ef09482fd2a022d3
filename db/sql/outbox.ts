import { and, asc, eq, gt, lte, sql } from 'drizzle-orm'
import type { Millis, NewDelivery, OutboxStore } from '../store.ts'
import { isOneOf, type Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { isFree, noLease } from './refresh.ts'
import { deliveries, outbox } from './schema.ts'

/** The outbox begins with the events that come next. Within the current transaction. */
export function beginOutbox(db: Engine['db']): void {
  db.run(sql`insert into outbox (id, last_event_id)
    select 1, coalesce(max(id), 0) from events where true on conflict do nothing`)
}

/** One seek per sink, however many deliveries it has. */
const DUE_SINKS = `
  with recursive sinks (id) as (
    select min(sink_id) from deliveries where next_at is not null
    union all
    select (select min(sink_id) from deliveries where next_at is not null and sink_id > sinks.id)
    from sinks where sinks.id is not null
  )
  select id from sinks where exists (
    select 1 from deliveries where sink_id = sinks.id and next_at is not null and next_at <= ?)`

/** By the greatest id: PostgreSQL would read all events to find that none is greater than another number. */
const HAS_WORK = `
  select not exists (select 1 from outbox)
    or (select max(id) from events) > (select last_event_id from outbox)
    or exists (select 1 from deliveries where next_at is not null and next_at <= ?)`

/** Deliveries, and the lease of the process that makes them. Nothing here waits for the disk. */
export function outboxMethods(engine: Engine): OutboxStore {
  const { client, db, read, write, writeFleeting, steady } = engine
  const hasWork = client.prepare<[Millis], 0 | 1>(HAS_WORK).pluck()
  const listDueSinks = client.prepare<[Millis], string>(DUE_SINKS).pluck()
  const add = client.prepare<[object]>(
    `insert into deliveries (sink_id, event_id, connection_id, status, created_at)
     values (@sinkId, @eventId, @connectionId, 'pending', @createdAt)
     on conflict (event_id, sink_id) do nothing`,
  )
  const again = client.prepare<[object]>(
    `update deliveries set status = 'pending', attempts = 0, next_at = null, created_at = @createdAt
     where event_id = @eventId and sink_id = @sinkId and status <> 'pending'`,
  )
  /** One that has a time is the first pending one of its connection. */
  const hasten = client.prepare<[object]>(
    `update deliveries set next_at = @createdAt
     where event_id = @eventId and sink_id = @sinkId and status = 'pending' and next_at > @createdAt`,
  )
  const LANE = `sink_id = @sinkId and connection_id is not distinct from @connectionId and status = 'pending'`
  const FIRST = `(select min(id) from deliveries where ${LANE})`
  const startFirst = client.prepare<[object]>(
    `update deliveries set next_at = @now where id = ${FIRST} and next_at is null`,
  )
  const startNext = client.prepare<[object]>(
    `update deliveries set next_at = created_at where id = ${FIRST} and next_at is null`,
  )
  const stopOthers = client.prepare<[object]>(
    `update deliveries set next_at = null where ${LANE} and next_at is not null and id > ${FIRST}`,
  )

  /** Only the first pending delivery of a connection is due. */
  const order = (lane: Pick<NewDelivery, 'sinkId' | 'connectionId'>, now: Millis): void => {
    const { sinkId, connectionId } = lane
    startFirst.run({ sinkId, connectionId, now })
    stopOthers.run({ sinkId, connectionId })
  }

  const isOwner = (owner: string, lastEventId?: number): boolean => {
    const row = db.select().from(outbox).get()
    return row?.leaseOwner === owner && (lastEventId ?? row.lastEventId) === row.lastEventId
  }

  return {
    hasOutboxWork: (now) => read(() => hasWork.get(now) === 1),

    takeOutbox: ({ owner, forMs, now, maxPauseMs, deadOwner }) =>
      writeFleeting(() => {
        beginOutbox(db)
        const row = db.select().from(outbox).get()
        if (!row) throw new Error('the outbox has no row')
        const { leaseOwner, lastEventId } = row
        const takenAt = steady()
        const canTake = isFree(row, { owner, maxLeaseMs: forMs, deadOwner }, takenAt)
        if (leaseOwner !== null && !canTake) return { owner: leaseOwner }
        db.update(outbox)
          .set({ leaseOwner: owner, leaseUntil: takenAt + forMs })
          .run()
        const isTooLate = gt(deliveries.nextAt, now + maxPauseMs)
        db.update(deliveries).set({ nextAt: now }).where(isTooLate).run()
        return { lastEventId }
      }),

    releaseOutbox: (owner) =>
      writeFleeting(() => {
        db.update(outbox).set(noLease).where(eq(outbox.leaseOwner, owner)).run()
      }),

    fillOutbox: ({ owner, lastEventId, readTo, deliveries: list }) =>
      writeFleeting(() => {
        if (!isOwner(owner, lastEventId)) return false
        for (const delivery of list) {
          add.run(delivery)
          order(delivery, delivery.createdAt)
        }
        db.update(outbox).set({ lastEventId: readTo }).run()
        return true
      }),

    listDueSinks: (now) => read(() => listDueSinks.all(now)),

    listDueDeliveries: ({ sinkId, now, limit }) =>
      read(() => {
        const due = and(eq(deliveries.sinkId, sinkId), lte(deliveries.nextAt, now))
        const query = db.select().from(deliveries).where(due)
        return query.orderBy(asc(deliveries.nextAt), asc(deliveries.id)).limit(limit).all()
      }),

    recordAttempt: ({ id, owner, expectedAttempts, outcome }) =>
      writeFleeting(() => {
        if (!isOwner(owner)) return false
        const unchanged = and(
          eq(deliveries.id, id),
          eq(deliveries.status, 'pending'),
          eq(deliveries.attempts, expectedAttempts),
        )
        const attempts = expectedAttempts + 1
        const changed = db
          .update(deliveries)
          .set({ ...outcome, attempts })
          .where(unchanged)
          .returning()
          .get()
        if (!changed) return false
        // Also of a failed one: an earlier one may have been replayed meanwhile.
        order(changed, outcome.attemptedAt)
        return true
      }),

    endDeliveries: ({ sinkId, error, limit, upTo }) =>
      writeFleeting(() => {
        const pending = and(
          eq(deliveries.sinkId, sinkId),
          sql`${deliveries.status} = 'pending'`,
          upTo === undefined ? undefined : lte(deliveries.eventId, upTo),
        )
        const rows = db.select().from(deliveries).where(pending).limit(limit).all()
        const ids = isOneOf(
          deliveries.id,
          rows.map(({ id }) => id),
        )
        const ended = { status: 'failed', nextAt: null, error } as const
        const { changes } = db.update(deliveries).set(ended).where(ids).run()
        // Only the first of its connection has a time. Without `upTo`, none is left.
        const firsts = rows.filter(({ nextAt }) => nextAt !== null && upTo !== undefined)
        for (const { connectionId } of firsts) startNext.run({ sinkId, connectionId })
        return changes
      }),

    replayDeliveries: (list, events) =>
      write(() => {
        beginOutbox(db)
        let [count, hastened] = [0, 0]
        for (const delivery of list) {
          hastened += hasten.run(delivery).changes
          const changes = again.run(delivery).changes || add.run(delivery).changes
          if (changes > 0) order(delivery, delivery.createdAt)
          count += changes
        }
        if (count + hastened > 0) insertEvents(engine, events)
        return count
      }),
  }
}
