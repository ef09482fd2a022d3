import { isDeepStrictEqual } from 'node:util'
import { and, asc, desc, eq, getTableColumns, lt, sql } from 'drizzle-orm'
import type { Sealed, Webhook, WebhookStore } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { beginOutbox } from './outbox.ts'
import { deliveries, webhooks } from './schema.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

const columns = {
  ...getTableColumns(webhooks),
  secret: bytesOf<Sealed>(webhooks.secret),
  previousSecret: bytesOf(webhooks.previousSecret),
}

interface Counts {
  sinkId: string
  pending: number
  failed: number
  oldestPendingAt: number | null
}

/** Each reads a partial index. */
const COUNTS = `
  with waiting as (select sink_id, count(*) as pending, min(id) as first
      from deliveries where status = 'pending' group by sink_id),
    ended as (select sink_id, count(*) as failed
      from deliveries where status = 'failed' group by sink_id)
  select sink_id as sinkId, coalesce(pending, 0) as pending, coalesce(failed, 0) as failed,
    (select created_at from deliveries where id = first) as oldestPendingAt
  from waiting full join ended using (sink_id)`

/** Webhooks, and what became of their deliveries. */
export function webhookMethods(engine: Engine, sealedValues: SealedValues): WebhookStore {
  const { client, db, read, write } = engine
  const select = () => db.select(columns).from(webhooks).$dynamic()
  const countAll = client.prepare<[], Counts>(COUNTS)

  const sealedIds = (id: string) => {
    const { secret, previousSecret } = webhooks
    return db.select({ secret, previousSecret }).from(webhooks).where(eq(webhooks.id, id)).get()
  }

  /** The columns of a webhook; its secrets are stored anew, and the old ones overwritten. */
  const store = ({ secret, previousSecret, ...webhook }: Webhook) => ({
    ...webhook,
    secret: sealedValues.add(secret),
    previousSecret: previousSecret && sealedValues.add(previousSecret),
  })

  const replace = (id: string, after: Webhook | null): void => {
    const old = sealedIds(id)
    const own = eq(webhooks.id, id)
    if (after) db.update(webhooks).set(store(after)).where(own).run()
    else db.delete(webhooks).where(own).run()
    if (old) sealedValues.erase([old.secret, old.previousSecret])
  }

  return {
    addWebhook: (webhook, events) =>
      write(() => {
        beginOutbox(db)
        db.insert(webhooks).values(store(webhook)).run()
        insertEvents(engine, events)
      }),

    getWebhook: (id) => read(() => select().where(eq(webhooks.id, id)).get()),

    listWebhooks: () =>
      read(() => select().orderBy(asc(webhooks.createdAt), asc(webhooks.id)).all()),

    updateWebhook: (before, after, events) =>
      write(() => {
        const stored = select().where(eq(webhooks.id, before.id)).get()
        if (!isDeepStrictEqual(stored, before)) return false
        replace(before.id, after)
        insertEvents(engine, events)
        return true
      }),

    listDeliveries: ({ sinkId, status, before, limit }) =>
      read(() => {
        const own = and(
          eq(deliveries.sinkId, sinkId),
          // A literal, so that SQLite uses the partial index.
          status && sql`${deliveries.status} = ${sql.raw(`'${status}'`)}`,
          before === null ? undefined : lt(deliveries.id, before),
        )
        const query = db.select().from(deliveries).where(own)
        return query.orderBy(desc(deliveries.id)).limit(limit).all()
      }),

    getDelivery: (id) =>
      read(() => db.select().from(deliveries).where(eq(deliveries.id, id)).get()),

    countDeliveries: () =>
      read(() => new Map(countAll.all().map(({ sinkId, ...counts }) => [sinkId, counts]))),
  }
}
