import type { Delivery, EventType, NewDelivery, Webhook } from '../../../../db/store.ts'
import { call, HOUR, MINUTE, several } from './context.ts'
import { withoutId } from './answers.ts'
import type { AnyStore, Call, Command, Context } from './context.ts'

const anyEventId = (at: Context): number =>
  at.choose(0, at.below(at.tables.lastEventId + 2), at.one(at.tables.events.keys()) ?? 0)

const webhookFields = (at: Context): Pick<Webhook, 'secret' | 'previousSecret' | 'disabledAt'> => ({
  secret: at.sealed('webhook'),
  previousSecret: at.choose(null, at.sealed('before')),
  disabledAt: at.choose(null, at.now),
})

const SINKS = ['webhook 1', 'webhook 2', 'command'] as const

/** A delivery of an event that is stored. */
const delivery = (at: Context, eventId: number): NewDelivery => ({
  ...{ sinkId: at.choose(...SINKS), eventId, createdAt: at.now },
  connectionId: at.tables.events.get(eventId)?.connectionId ?? null,
})

const owner = (at: Context): string =>
  at.chance(85) ? (at.tables.outbox.owner ?? 'me') : at.owner()

/**
 * A call that may begin the outbox. Whether an event that is written at once comes before that is open, and on
 * PostgreSQL its id does not tell.
 */
const beginning = (at: Context, call: Call): Call => ({
  ...call,
  isComposite: at.tables.outbox.lastEventId === null,
})

export const eventCommands: Record<string, Command> = {
  addEvents: (at) =>
    call('addEvents', [
      ...at.events('connection.recovered', { connectionId: at.connectionId() }),
      ...at.events('grant.revoked', { grantId: at.grantId() }),
      ...at.events('upstream.down'),
      ...at.events('connection.refresh_asked', { connectionId: at.connectionId() }),
      ...at.events('app.changed', { appId: at.appId() }),
    ]),

  listEvents: (at) => {
    const filter = {
      ...(at.chance(30) && { actor: at.choose('user', 'admin:ann@x.example') }),
      ...(at.chance(30) && { action: at.choose('grant.revoked', 'connection.connected') }),
      ...(at.chance(30) && { appId: at.appId() }),
      ...(at.chance(30) && { connectionId: at.connectionId() }),
      ...(at.chance(30) && { from: at.now - at.choose(1000, HOUR) }),
      ...(at.chance(30) && { to: at.now - at.choose(0, MINUTE) }),
    }
    const limit = at.choose(1, 5, 100)
    return several(
      `listEvents(${JSON.stringify({ filter, limit })}), all pages and back`,
      async (store) => {
        const page = async (cursor: string | null) => store.listEvents({ filter, cursor, limit })
        const pages = [await page(null)]
        for (let older = pages[0]!.older; older !== null; older = pages.at(-1)!.older)
          pages.push(await page(older))
        const newer = pages.at(-1)?.newer ?? null
        return [
          pages.map(({ rows, newer, older }) => [rows, newer !== null, older !== null]),
          newer === null ? [] : (await page(newer)).rows,
        ]
      },
    )
  },

  listPublicEvents: (at) => {
    const types = at.choose<EventType[]>([], ['grant.revoked', 'connection.created'])
    const connectionId = at.choose(null, at.connectionId())
    const appId = at.choose(null, at.appId())
    const limit = at.choose(1, 3, 100)
    return call('listPublicEvents', { after: anyEventId(at), appId, connectionId, types, limit })
  },

  getPublicEvent: (at) => call('getPublicEvent', anyEventId(at)),
  timeOfEvent: (at) => call('timeOfEvent', anyEventId(at)),
  lastEventBefore: (at) => call('lastEventBefore', at.now - at.choose(0, 1, MINUTE)),

  setCondition: (at) => {
    const [name, isOn] = [at.choose('down', 'full'), at.chance(50)]
    return call('setCondition', { name, isOn, events: at.events('upstream.down') })
  },

  addWebhook: (at) => {
    const id = at.choose('webhook 1', 'webhook 2')
    if (at.tables.webhooks.has(id)) return null
    const webhook: Webhook = {
      ...{ id, url: 'https://hook.example/', appId: at.choose(null, at.appId()), signing: 'v1' },
      ...{ types: at.choose([], ['grant.revoked']), publicKey: null, previousSecretUntil: null },
      ...{ createdAt: at.now, disabledReason: null, ...webhookFields(at) },
      afterEventId: at.tables.lastEventId,
    }
    return beginning(at, call('addWebhook', webhook, at.events('webhook.added')))
  },

  updateWebhook: (at) => {
    const webhook = at.one(at.tables.webhooks.values())
    if (!webhook) return null
    const before = at.asRead(webhook, { url: 'https://earlier.example/' })
    const after = at.chance(30) ? null : { ...webhook, ...webhookFields(at) }
    return call('updateWebhook', before, after, at.events('webhook.changed'))
  },

  hasOutboxWork: (at) => call('hasOutboxWork', at.now),

  takeOutbox: (at) =>
    beginning(
      at,
      call('takeOutbox', {
        ...{ owner: at.owner(), forMs: at.leaseMs(), now: at.now, maxPauseMs: HOUR },
        deadOwner: at.choose(null, null, at.owner()),
      }),
    ),

  releaseOutbox: (at) => call('releaseOutbox', owner(at)),

  fillOutbox: (at) => {
    const { lastEventId } = at.tables.outbox
    if (lastEventId === null) return null
    const from = at.chance(15) ? lastEventId - 1 : lastEventId
    const readTo = Math.min(at.tables.lastEventId, from + at.choose(1, 2, 5))
    const ids = [...at.tables.events.keys()].filter((id) => id > from && id <= readTo)
    const deliveries = ids.filter(() => at.chance(70)).map((id) => delivery(at, id))
    return call('fillOutbox', { owner: owner(at), lastEventId: from, readTo, deliveries })
  },

  recordAttempt: (at) => {
    const one = at.one(
      [...at.tables.deliveries.values()].filter(({ nextAt }) => nextAt !== null || at.chance(10)),
    )
    if (!one) return null
    const outcome = at.choose(
      { status: 'delivered' as const, nextAt: null, answer: 200, error: null },
      { status: 'failed' as const, nextAt: null, answer: 410, error: 'gone' },
      {
        status: 'pending' as const,
        nextAt: at.now + at.choose(1000, MINUTE),
        answer: null,
        error: 'e',
      },
      { status: 'pending' as const, nextAt: at.now + 3 * HOUR, answer: 500, error: 'e' },
    )
    const attempt = {
      ...{ owner: owner(at), expectedAttempts: one.attempts - (at.chance(10) ? 1 : 0) },
      outcome: { ...outcome, attemptedAt: at.now },
    }
    const { sinkId, eventId } = one
    return {
      text: `recordAttempt(${JSON.stringify({ sinkId, eventId, ...attempt })})`,
      run: async (store) => store.recordAttempt({ ...attempt, id: await idOf(store, one) }),
      isComposite: false,
    }
  },

  endDeliveries: (at) =>
    call('endDeliveries', {
      ...{ sinkId: at.choose(...SINKS), error: 'disabled', limit: 100 },
      ...at.choose({}, { upTo: anyEventId(at) }),
    }),

  replayDeliveries: (at) => {
    const { lastEventId } = at.tables.outbox
    const ids = [...at.tables.events.keys()].filter((id) => id <= (lastEventId ?? 0)).slice(-20)
    const deliveries = at
      .some(ids)
      .slice(-3)
      .map((id) => delivery(at, id))
    return beginning(at, call('replayDeliveries', deliveries, at.events('webhook.replayed')))
  },

  listDueSinks: (at) => call('listDueSinks', at.now),

  listDueDeliveries: (at) =>
    call('listDueDeliveries', { sinkId: at.choose(...SINKS), now: at.now, limit: 100 }),

  listDeliveries: (at) => {
    const query = {
      ...{ sinkId: at.choose(...SINKS), limit: at.choose(1, 2, 100) },
      ...at.choose({}, { status: 'failed' as const }),
    }
    const before = at.one(
      [...at.tables.deliveries.values()].filter(({ sinkId }) => sinkId === query.sinkId),
    )
    const text = `listDeliveries(${JSON.stringify(query)}), before event ${before?.eventId}`
    return several(text, async (store) => {
      const id = before ? await idOf(store, before) : null
      return (await store.listDeliveries({ ...query, before: id })).map(withoutId)
    })
  },
}

/** Ids of deliveries are the engine's own: a delivery is named by its sink and event. */
async function idOf(store: AnyStore, one: Pick<Delivery, 'sinkId' | 'eventId'>): Promise<number> {
  const all = await store.listDeliveries({ sinkId: one.sinkId, before: null, limit: 100_000 })
  return all.find(({ eventId }) => eventId === one.eventId)?.id ?? 0
}
