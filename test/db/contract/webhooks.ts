import type { Test } from 'tap'
import type { Delivery, Event, NewDelivery, Webhook } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newApp, newGrant, NOW, sweep } from '../rows.ts'
import { race } from './race.ts'

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
    t.equal(await store.getPublicEvent(2), undefined, 'not for receivers')
  })

  t.test('an event of a connection concerns the apps that had a grant at the time', async (t) => {
    const store = await open(t)
    await connect(store)
    const grants = {
      ended: { revokedAt: NOW - 1 },
      now: { revokedAt: NOW },
      active: { externalId: 'ada' },
      later: { createdAt: NOW + 1 },
    }
    for (const [name, fields] of Object.entries(grants)) {
      await store.addApp(newApp(name), [])
      const grant = newGrant(`grant ${name}`, { appId: name, ...fields })
      await store.addGrant(grant, { source: null, now: NOW, events: [] })
    }
    const cases: [string, Partial<Event>, string[]][] = [
      ['connection.revoked', {}, ['active', 'now']],
      ['connection.recovered', { appId: 'other' }, ['active', 'now', 'other']],
      ['connection.erased', {}, ['active', 'ended', 'now']],
      ['app.grants_revoked', { appId: 'now' }, ['now']],
      ['app.changed', { appId: 'now', connectionId: null }, []],
    ]
    for (const [action, fields, concerned] of cases) {
      const after = await store.lastEventId()
      await store.addEvents(event(action, { connectionId: 'con', ...fields }))
      const list = async (appId: string | null) =>
        (await store.listPublicEvents({ after, appId, limit: 9 })).events
      t.strictSame(
        (await list(null)).map(({ appIds }) => appIds.sort()),
        [concerned],
        action,
      )
      for (const appId of [...Object.keys(grants), 'other'])
        t.equal((await list(appId)).length, concerned.includes(appId) ? 1 : 0, appId)
    }
    await store.addEvents(event('grant.revoked', { grantId: 'grant active' }))
    t.match(await store.getPublicEvent(await store.lastEventId()), {
      ...{ appId: 'active', appIds: ['active'], connectionId: 'con', sequence: 5 },
      externalId: 'ada',
    })
  })

  t.test('a page of events is read in steps, and positions outlive the events', async (t) => {
    const store = await open(t)
    const add = (count: number, action: string) =>
      store.addEvents(Array.from({ length: count }, () => event(action)[0]!))
    await add(1000, 'other')
    const list = (after: number) => store.listPublicEvents({ after, appId: null, limit: 9 })
    t.strictSame(await list(0), { events: [], readTo: 1000, isEnd: false })
    t.strictSame(await list(1000), { events: [], readTo: 1000, isEnd: true })
    await add(10, 'upstream.down')
    const { events, ...page } = await list(1000)
    t.strictSame(page, { readTo: 1009, isEnd: false })
    t.strictSame(
      events.map(({ id }) => id),
      Array.from({ length: 9 }, (_, index) => 1001 + index),
    )
    // The clock went back.
    await store.addEvents(event('upstream.up', { at: NOW - 5 }))
    t.equal(await store.lastEventBefore(NOW - 5), 0)
    t.equal(await store.lastEventBefore(NOW), 1011)
    t.equal(await store.lastEventBefore(NOW + 1), 1010)
    await store.takeOutbox(lease)
    const bounds = { now: NOW, keepUsedMs: 0, eventsBefore: NOW + 1, endedBefore: NOW + 1 }
    t.equal((await sweep(store, bounds)).events, 1011)
    t.equal(await store.lastEventId(), 1011)
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
    await store.releaseOutbox(owner)
    t.strictSame(
      await store.takeOutbox(lease),
      { owner: 'other' },
      'it is not the owner’s any more',
    )
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

    const again = { ...delivery(1, 'a'), createdAt: NOW + 5 }
    const audit = event('webhook.replayed')
    t.equal(await store.replayDeliveries([again, delivery(2, 'a')], audit), 1)
    t.strictSame(await actions(store), ['webhook.replayed'])
    t.match(await find(1), { attempts: 0, createdAt: NOW + 5 }, 'as a new one')
    t.strictSame(await due(), [3, 4])
    t.strictSame(await due(NOW + 5), [3, 4, 1], 'the older one comes first again')
    await end(2, { status: 'pending', nextAt: NOW + 1 })
    t.strictSame(await due(NOW + 5), [3, 4, 1], 'also if an attempt of the newer one fails then')
    t.equal(await store.endDeliveries({ sinkId: 'w', error: 'gone', limit: 9, upTo: 1 }), 1)
    t.strictSame((await due()).sort(), [2, 3, 4], 'the newer one does not wait for it')
    t.equal(await store.endDeliveries({ sinkId: 'w', error: 'gone', limit: 9 }), 3)
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
    await store.addWebhook(webhook('w'), [])
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

  t.test('deliveries of a removed webhook are deleted, in batches', async (t) => {
    const store = await open(t)
    const removed = webhook('w')
    for (const one of [removed, webhook('x')]) await store.addWebhook(one, [])
    await store.takeOutbox(lease)
    const deliveries = ['command', 'w', 'x'].flatMap((sink) =>
      [1, 2, 3].map((eventId) => delivery(eventId, null, sink)),
    )
    await store.fillOutbox({ owner, lastEventId: 0, readTo: 3, deliveries })
    await store.updateWebhook(removed, null, [])
    const bounds = { now: NOW, keepUsedMs: 0, eventsBefore: 0, endedBefore: 0, limit: 2 }
    t.equal((await store.sweep(bounds)).more, true)
    t.equal((await store.sweep(bounds)).more, false)
    const list = (sinkId: string) => store.listDeliveries({ sinkId, before: null, limit: 9 })
    t.strictSame(await list('w'), [])
    for (const sinkId of ['command', 'x']) t.equal((await list(sinkId)).length, 3, sinkId)
  })

  t.test('a condition is recorded once', async (t) => {
    const store = await open(t)
    const set = (isOn: boolean) =>
      store.setCondition({ name: 'x', isOn, events: event(isOn ? 'on' : 'off') })
    t.equal(await set(false), false)
    await race(t, [true, true], set)
    t.equal(await set(true), false)
    t.equal(await set(false), true)
    t.strictSame(await actions(store), ['on', 'off'])
  })
}
