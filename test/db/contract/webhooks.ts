import type { Test } from 'tap'
import type { Delivery, NewDelivery, Webhook } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, NOW, sweep } from '../rows.ts'

const MINUTE = 60_000
const owner = 'me'
const lease = { owner, forMs: MINUTE, now: NOW, maxPauseMs: MINUTE, deadOwner: null }
const bytes = (text: string) => Buffer.from(text)

const webhook = (id: string, more: Partial<Webhook> = {}): Webhook => ({
  id,
  url: 'https://example.com/',
  appId: null,
  types: [],
  signing: 'v1a',
  secret: bytes('secret'),
  publicKey: null,
  previousSecret: null,
  previousSecretUntil: null,
  createdAt: NOW,
  disabledAt: null,
  disabledReason: null,
  afterEventId: 0,
  ...more,
})

const delivery = (eventId: number, connectionId: string | null, sinkId = 'w'): NewDelivery => ({
  ...{ sinkId, eventId, connectionId },
  createdAt: NOW,
})

const delivered = { status: 'delivered', nextAt: null, answer: 200, error: null } as const

export function testWebhooks(t: Test, open: OpenStore): void {
  t.test('a webhook is replaced only as it was read', async (t) => {
    const store = await open(t)
    const before = webhook('w')
    await store.addWebhook(before, event('added'))
    t.strictSame(await store.getWebhook('w'), before)
    const after = webhook('w', { secret: bytes('other'), previousSecret: bytes('secret') })
    t.equal(await store.updateWebhook(before, after, event('changed')), true)
    t.equal(await store.updateWebhook(before, null, event('never')), false)
    t.strictSame(await store.listWebhooks(), [after])
    t.equal(await store.updateWebhook(after, null, event('removed')), true)
    t.strictSame(await store.listWebhooks(), [])
    t.equal(await store.getWebhook('w'), undefined)
    t.strictSame(await actions(store), ['added', 'changed', 'removed'])
  })

  t.test('public events are numbered for each connection, and list concerned apps', async (t) => {
    const store = await open(t)
    await connect(store, 'c')
    const add = (action: string, more = {}) =>
      store.addEvents([{ ...event(action, { connectionId: 'c', ...more })[0]! }])
    await add('connection.needs_reconnect')
    await add('connection.refresh_asked')
    await add('connection.recovered', { appId: 'a' })
    await store.addEvents(event('upstream.down'))
    const list = (query: object) =>
      store.listPublicEvents({ after: 0, appId: null, limit: 10, ...query })
    const { events, isEnd, readTo } = await list({})
    t.match(
      events.map(({ action, sequence, appIds }) => ({ action, sequence, appIds })),
      [
        { action: 'connection.needs_reconnect', sequence: 1, appIds: [] },
        { action: 'connection.recovered', sequence: 2, appIds: ['a'] },
        { action: 'upstream.down', sequence: null, appIds: [] },
      ],
    )
    t.equal(isEnd, true)
    t.equal(readTo, await store.lastEventId())
    t.match((await list({ appId: 'a' })).events, [{ sequence: 2 }])
    t.match((await list({ connectionId: 'c', types: ['connection.recovered'] })).events, [
      { sequence: 2 },
    ])
    const page = await list({ limit: 1 })
    t.match(page, { isEnd: false, readTo: events[0]?.id })
    t.match((await list({ after: page.readTo, limit: 1 })).events, [{ sequence: 2 }])
    t.equal(await store.timeOfEvent(readTo), NOW)
    t.equal(await store.timeOfEvent(readTo + 1), null)
    t.equal(await store.lastEventBefore(NOW), 0)
    t.equal(await store.lastEventBefore(NOW + 1), readTo)
    t.equal((await store.getPublicEvent(readTo))?.action, 'upstream.down')
  })

  t.test('one process has the lease of the outbox', async (t) => {
    const store = await open(t)
    t.equal(await store.hasOutboxWork(NOW), true, 'it has not begun')
    await store.addEvents(event('before'))
    t.strictSame(await store.takeOutbox(lease), { lastEventId: 1 })
    t.equal(await store.hasOutboxWork(NOW), false)
    const other = { ...lease, owner: 'other' }
    t.strictSame(await store.takeOutbox(other), { owner })
    const fill = (by: string, lastEventId: number) =>
      store.fillOutbox({ owner: by, lastEventId, readTo: 2, deliveries: [] })
    await store.addEvents(event('later'))
    t.equal(await store.hasOutboxWork(NOW), true)
    t.equal(await fill('other', 1), false)
    t.equal(await fill(owner, 0), false)
    t.equal(await fill(owner, 1), true)
    t.strictSame(await store.takeOutbox({ ...other, deadOwner: owner }), { lastEventId: 2 })
    t.strictSame(await store.takeOutbox(lease), { owner: 'other' })
    await store.releaseOutbox('other')
    t.strictSame(await store.takeOutbox({ ...lease, forMs: 0 }), { lastEventId: 2 })
    t.strictSame(await store.takeOutbox(other), { lastEventId: 2 }, 'it ended')
    t.strictSame(await store.takeOutbox({ ...other, forMs: 3 * MINUTE }), { lastEventId: 2 })
    t.strictSame(await store.takeOutbox(lease), { lastEventId: 2 }, 'it ends too far ahead')
  })

  t.test('events of a connection are due one after the other', async (t) => {
    const store = await open(t)
    await store.takeOutbox(lease)
    const deliveries = [
      delivery(1, 'a'),
      delivery(2, 'a'),
      delivery(3, 'b'),
      delivery(4, null),
      delivery(3, 'b', 'x'),
    ]
    await store.fillOutbox({ owner, lastEventId: 0, readTo: 4, deliveries })
    const due = async (now = NOW, sinkId = 'w') =>
      (await store.listDueDeliveries({ sinkId, now, limit: 9 })).map(({ eventId }) => eventId)
    const find = async (eventId: number) =>
      (await store.listDeliveries({ sinkId: 'w', before: null, limit: 9 })).find(
        (one) => one.eventId === eventId,
      ) as Delivery
    const end = async (eventId: number, outcome: object, by = owner) => {
      const { id, attempts } = await find(eventId)
      return store.recordAttempt({
        ...{ id, owner: by, expectedAttempts: attempts },
        outcome: { ...delivered, attemptedAt: NOW, ...outcome },
      })
    }
    t.strictSame(await due(), [1, 3, 4])
    t.strictSame(await store.listDueSinks(NOW), ['w', 'x'])
    t.strictSame(await store.listDueSinks(NOW - 1), [])
    t.equal(await end(1, {}, 'other'), false)
    t.equal(await end(1, { status: 'pending', nextAt: NOW + 5, error: 'no' }), true)
    t.strictSame(await due(), [3, 4])
    t.strictSame(await due(NOW + 5), [3, 4, 1])
    t.match(await find(1), { attempts: 1, error: 'no', status: 'pending' })
    await end(1, { status: 'pending', nextAt: NOW + 2 * MINUTE })
    await store.takeOutbox(lease)
    t.strictSame((await due()).sort(), [1, 3, 4], 'it was due too far ahead')
    t.equal(await end(1, {}), true)
    t.strictSame(await due(), [2, 3, 4])
    t.match((await store.countDeliveries()).get('w'), {
      pending: 3,
      failed: 0,
      oldestPendingAt: NOW,
    })

    t.equal(await store.replayDeliveries([delivery(1, 'a'), delivery(2, 'a')], []), 1)
    t.strictSame(await due(), [3, 4, 1].sort(), 'the older one comes first again')
    t.equal(await store.endDeliveries({ sinkId: 'w', error: 'gone', limit: 9 }), 4)
    t.strictSame(await due(), [])
    t.match(await find(2), { status: 'failed', error: 'gone', nextAt: null })
    t.match(await store.getDelivery((await find(2)).id), { eventId: 2 })
    t.match((await store.countDeliveries()).get('w'), {
      pending: 0,
      failed: 4,
      oldestPendingAt: null,
    })
    const failed = { sinkId: 'w', status: 'failed' as const, before: (await find(3)).id, limit: 1 }
    t.match(await store.listDeliveries(failed), [{ eventId: 2 }])
  })

  t.test('events stay until they are delivered', async (t) => {
    const store = await open(t)
    await store.takeOutbox(lease)
    await store.addEvents(event('upstream.down'))
    await store.addEvents(event('upstream.up'))
    const bounds = { now: NOW, keepUsedMs: 0, eventsBefore: NOW + 1, endedBefore: NOW + 1 }
    t.equal((await sweep(store, bounds)).events, 0, 'not given to the sinks yet')
    const deliveries = [delivery(2, null)]
    await store.fillOutbox({ owner, lastEventId: 0, readTo: 2, deliveries })
    t.equal((await sweep(store, bounds)).events, 1)
    const [{ id = 0 } = {}] = await store.listDeliveries({ sinkId: 'w', before: null, limit: 1 })
    const outcome = { ...delivered, attemptedAt: NOW }
    await store.recordAttempt({ id, owner, expectedAttempts: 0, outcome })
    t.equal((await sweep(store, bounds)).events, 1)
    t.equal(await store.getDelivery(id), undefined)
  })

  t.test('a condition is recorded once', async (t) => {
    const store = await open(t)
    const set = (isOn: boolean) =>
      store.setCondition({ name: 'x', isOn, events: event(isOn ? 'on' : 'off') })
    t.equal(await set(false), false)
    t.equal(await set(true), true)
    t.equal(await set(true), false)
    t.equal(await set(false), true)
    t.strictSame(await actions(store), ['on', 'off'])
  })
}
