import { COMMAND_SINK_ID, EVENT_TYPES } from '../../db/event-types.ts'
import type {
  Delivery,
  EventType,
  Millis,
  NewEvent,
  PublicEvent,
  Store,
  Webhook,
} from '../../db/store.ts'
import type { Actor } from '../admin/actor.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { deliveryOf } from './dispatcher.ts'
import { messageId } from './message.ts'
import { matches } from './sink.ts'

export interface DeliveryView extends Delivery {
  /** `null`: the event is deleted. */
  type: EventType | null
  /** `webhook-id`. */
  messageId: string | null
}

/** What was delivered to webhooks and to the program of BROKER_ON_EVENT (`COMMAND_SINK_ID`), and its replay. */
export interface WebhookDeliveries {
  /**
   * Deliveries, the newest first.
   * @param query.cursor `next` of the page before
   * @throws BrokerError `invalid_request` if there is no such webhook
   */
  listDeliveries(
    id: string,
    query: { status?: Delivery['status']; cursor: number | null; limit: number },
  ): Promise<{ rows: DeliveryView[]; next: number | null }>
  /**
   * Delivers one again.
   * @throws BrokerError `invalid_request` if the webhook is disabled or has none, or its event is deleted
   */
  replay(id: string, deliveryId: number, actor: Actor): Promise<void>
  /**
   * Delivers all events of a time range that match the webhook.
   * @param range.to exclusive
   * @returns how many; those that are pending already are tried now, and do not count
   * @throws BrokerError `invalid_request` if there is no such webhook, or it is disabled
   */
  replayRange(id: string, range: { from: Millis; to: Millis }, actor: Actor): Promise<number>
}

/** A webhook, or the program, which has no URL. */
export type SinkRow = Pick<Webhook, 'id' | 'appId' | 'types'> &
  Partial<Pick<Webhook, 'url' | 'disabledAt'>>

const REPLAY_BATCH_SIZE = 100

/**
 * @param deps.getStored throws BrokerError `invalid_request` if there is no such webhook
 * @param deps.event for the audit log
 */
export function createWebhookDeliveries(deps: {
  store: Store
  clock: Clock
  getStored: (id: string) => Promise<Webhook>
  event: (actor: Actor, action: string, sink: SinkRow, more: string) => NewEvent
  /** Is there a program that gets events (`BROKER_ON_EVENT`)? */
  hasCommand: boolean
}): WebhookDeliveries {
  const { store, clock, getStored, event, hasCommand } = deps

  /** @throws BrokerError `invalid_request` */
  const getSink = async (id: string): Promise<SinkRow> =>
    id === COMMAND_SINK_ID ? { id, appId: null, types: [] } : getStored(id)

  /**
   * Pending deliveries of a disabled webhook end, and nobody delivers to a program that is not set: a replay would be
   * lost.
   * @throws BrokerError `invalid_request`
   */
  const getReplayedSink = async (id: string): Promise<SinkRow> => {
    const sink = await getSink(id)
    if (id === COMMAND_SINK_ID && !hasCommand) {
      const description = 'BROKER_ON_EVENT is not set: no program gets events.'
      throw new BrokerError('invalid_request', { description, reason: 'command_not_set' })
    }
    if ((sink.disabledAt ?? null) !== null) {
      const description = `${id} is disabled. Enable it first, then replay.`
      throw new BrokerError('invalid_request', { description, reason: 'webhook_disabled' })
    }
    return sink
  }

  const describe = async (delivery: Delivery): Promise<DeliveryView> => {
    const found = await store.getPublicEvent(delivery.eventId)
    return {
      ...delivery,
      type: found ? EVENT_TYPES[found.action] : null,
      messageId: found ? messageId(found) : null,
    }
  }

  const replayEvents = (events: PublicEvent[], sinkId: string, audit: NewEvent[]) => {
    const createdAt = clock.now()
    return store.replayDeliveries(
      events.map((one) => deliveryOf(one, sinkId, createdAt)),
      audit,
    )
  }

  return {
    async listDeliveries(id, { status, cursor, limit }) {
      await getSink(id)
      const filter = { sinkId: id, before: cursor, ...(status && { status }) }
      const rows = await store.listDeliveries({ ...filter, limit: limit + 1 })
      const shown = rows.slice(0, limit)
      const next = rows.length > limit ? (shown.at(-1)?.id ?? null) : null
      return { rows: await Promise.all(shown.map(describe)), next }
    },

    async replay(id, deliveryId, actor) {
      const sink = await getReplayedSink(id)
      const delivery = await store.getDelivery(deliveryId)
      const isOwn = delivery?.sinkId === id
      const found = isOwn && (await store.getPublicEvent(delivery.eventId))
      if (!found) {
        const description = `${id} has no delivery ${deliveryId}, or its event was deleted.`
        throw new BrokerError('invalid_request', { description, reason: 'delivery_not_found' })
      }
      const audit = event(actor, 'webhook.replayed', sink, `: ${messageId(found)}`)
      await replayEvents([found], id, [audit])
    },

    async replayRange(id, { from, to }, actor) {
      const sink = await getReplayedSink(id)
      const range = `: ${new Date(from).toISOString()} to ${new Date(to).toISOString()}`
      let audit = [event(actor, 'webhook.replayed', sink, range)]
      const end = await store.lastEventBefore(to)
      let after = await store.lastEventBefore(from)
      let count = 0
      for (let isEnd = false; !isEnd;) {
        const query = { after, appId: sink.appId, types: sink.types }
        const page = await store.listPublicEvents({ ...query, limit: REPLAY_BATCH_SIZE })
        const events = page.events.filter(
          (one) => one.at >= from && one.at < to && matches(sink, one),
        )
        count += await replayEvents(events, id, audit)
        audit = []
        after = page.readTo
        isEnd = page.isEnd || after >= end
      }
      return count
    },
  }
}
