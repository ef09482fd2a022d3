import type { Delivery, DeliveryCounts, NewDelivery, Webhook } from '../../../../db/store.ts'
import { hasEnded } from './bulk.ts'
import { lastStoredId } from './events.ts'
import { isSame, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'addWebhook'
  | 'getWebhook'
  | 'listWebhooks'
  | 'updateWebhook'
  | 'listDeliveries'
  | 'getDelivery'
  | 'countDeliveries'
  | 'hasOutboxWork'
  | 'takeOutbox'
  | 'releaseOutbox'
  | 'fillOutbox'
  | 'listDueSinks'
  | 'listDueDeliveries'
  | 'recordAttempt'
  | 'endDeliveries'
  | 'replayDeliveries'

export const outboxRules = (tables: Tables): Answering<Methods> => {
  const { webhooks, deliveries, outbox } = tables
  const all = (): Delivery[] => sortBy(deliveries.values(), ({ id }) => id)
  const ofSink = (sinkId: string): Delivery[] => all().filter((one) => one.sinkId === sinkId)
  const isDue = ({ nextAt }: Delivery, now: number): boolean => nextAt !== null && nextAt <= now

  const begin = (): void => {
    outbox.lastEventId ??= lastStoredId(tables)
  }

  /** Lets the first pending delivery of each sink and connection be tried, and no other. `null`: since it was created. */
  function settle(now: number | null): void {
    const seen = new Set<string>()
    for (const delivery of all()) {
      const { id, sinkId, connectionId, status, createdAt } = delivery
      if (status !== 'pending') continue
      const key = JSON.stringify([sinkId, connectionId])
      const nextAt = seen.has(key) ? null : (delivery.nextAt ?? now ?? createdAt)
      deliveries.set(id, { ...delivery, nextAt })
      seen.add(key)
    }
  }

  const find = ({ sinkId, eventId }: NewDelivery): Delivery | undefined =>
    ofSink(sinkId).find((one) => one.eventId === eventId)

  const add = (delivery: NewDelivery): void => {
    const id = ++tables.lastDeliveryId
    const state = { status: 'pending', attempts: 0, nextAt: null } as const
    const attempt = { answer: null, error: null, attemptedAt: null }
    deliveries.set(id, { id, ...delivery, ...state, ...attempt })
    settle(delivery.createdAt)
  }

  return {
    addWebhook(webhook, events) {
      begin()
      webhooks.set(webhook.id, webhook)
      writeEvents(tables, events)
    },

    getWebhook: (id) => webhooks.get(id),

    listWebhooks: () => sortBy(webhooks.values(), ({ createdAt }) => createdAt),

    updateWebhook(before: Webhook, after, events) {
      if (!isSame(webhooks.get(before.id), before)) return false
      if (after) webhooks.set(before.id, after)
      else webhooks.delete(before.id)
      writeEvents(tables, events)
      return true
    },

    listDeliveries: ({ sinkId, status, before, limit }) =>
      ofSink(sinkId)
        .reverse()
        .filter((delivery) => status === undefined || delivery.status === status)
        .filter(({ id }) => before === null || id < before)
        .slice(0, limit),

    getDelivery: (id) => deliveries.get(id),

    countDeliveries() {
      const counts = new Map<string, DeliveryCounts>()
      for (const { sinkId, status, createdAt } of all()) {
        if (status === 'delivered') continue
        const of = counts.get(sinkId) ?? { pending: 0, failed: 0, oldestPendingAt: null }
        of[status]++
        if (status === 'pending') of.oldestPendingAt ??= createdAt
        counts.set(sinkId, of)
      }
      return counts
    },

    hasOutboxWork: (now) =>
      outbox.lastEventId === null ||
      [...tables.events.keys()].some((id) => id > (outbox.lastEventId ?? 0)) ||
      all().some((delivery) => isDue(delivery, now)),

    takeOutbox({ owner, forMs, now, maxPauseMs, deadOwner }) {
      const holder = outbox.owner
      const isFree = holder === null || holder === owner || holder === deadOwner
      if (!isFree && !hasEnded(outbox.leaseRemainingMs, forMs)) return { owner: holder }
      begin()
      Object.assign(outbox, { owner, leaseRemainingMs: forMs })
      for (const delivery of all())
        if (delivery.nextAt !== null && delivery.nextAt > now + maxPauseMs)
          deliveries.set(delivery.id, { ...delivery, nextAt: now })
      return { lastEventId: outbox.lastEventId ?? 0 }
    },

    releaseOutbox(owner) {
      if (outbox.owner === owner) outbox.owner = null
    },

    fillOutbox({ owner, lastEventId, readTo, deliveries: added }) {
      if (outbox.owner !== owner || outbox.lastEventId !== lastEventId) return false
      outbox.lastEventId = readTo
      for (const delivery of added) if (!find(delivery)) add(delivery)
      return true
    },

    listDueSinks: (now) => [
      ...new Set(
        all()
          .filter((delivery) => isDue(delivery, now))
          .map(({ sinkId }) => sinkId),
      ),
    ],

    listDueDeliveries: ({ sinkId, now, limit }) =>
      sortBy(
        ofSink(sinkId).filter((delivery) => isDue(delivery, now)),
        ({ nextAt }) => nextAt,
        ({ id }) => id,
      ).slice(0, limit),

    recordAttempt({ id, owner, expectedAttempts, outcome }) {
      const delivery = deliveries.get(id)
      if (outbox.owner !== owner || delivery?.status !== 'pending') return false
      if (delivery.attempts !== expectedAttempts) return false
      deliveries.set(id, { ...delivery, ...outcome, attempts: delivery.attempts + 1 })
      settle(outcome.attemptedAt)
      return true
    },

    endDeliveries({ sinkId, error, limit, upTo = Infinity }) {
      const pending = ofSink(sinkId).filter(
        ({ status, eventId }) => status === 'pending' && eventId <= upTo,
      )
      const ended = pending.slice(0, limit)
      for (const delivery of ended)
        deliveries.set(delivery.id, { ...delivery, status: 'failed', nextAt: null, error })
      settle(null)
      return ended.length
    },

    replayDeliveries(replayed, events) {
      begin()
      let [count, hastened] = [0, 0]
      for (const delivery of replayed) {
        const { createdAt } = delivery
        const known = find(delivery)
        if (!known) add(delivery)
        else if (known.status !== 'pending') {
          const again = { status: 'pending', attempts: 0, nextAt: null, createdAt } as const
          deliveries.set(known.id, { ...known, ...again })
          settle(createdAt)
        } else {
          if (known.nextAt !== null && known.nextAt > createdAt) {
            deliveries.set(known.id, { ...known, nextAt: createdAt })
            hastened++
          }
          continue
        }
        count++
      }
      if (count + hastened > 0) writeEvents(tables, events)
      return count
    },
  }
}
