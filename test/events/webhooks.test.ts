import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { createPublicKey, verify } from 'node:crypto'
import { addApp, buildBroker, connect } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { allowLoopback, startReceiver, status } from './receiver.ts'
import type { Received } from './receiver.ts'

const actor = 'cli'

async function build(t: Parameters<typeof buildBroker>[0]) {
  const broker = await buildBroker(t, { env: allowLoopback })
  broker.services.dispatcher.start()
  return { broker, receiver: await startReceiver(t) }
}

const addWebhook = (
  { services }: TestBroker,
  url: string,
  more: Partial<Parameters<TestBroker['services']['webhooks']['add']>[0]> = {},
) => services.webhooks.add({ url, appId: null, types: [], signing: 'v1a', ...more }, actor)

const typesOf = (list: Received[]) => list.map(({ message }) => message.type)

t.test('a host learns of connections, grants and apps, with ids only', async (t) => {
  const { broker, receiver } = await build(t)
  await addWebhook(broker, receiver.url)
  const app = await addApp(broker)
  const { connectionId, grantId } = await connect(broker, app)
  await broker.services.connections.revoke(connectionId, 'admin:ann@example.com')
  await receiver.until(() => receiver.accepted.length === 4)
  // Events of a connection arrive in order; others need not wait for them.
  const ofConnection = receiver.accepted.filter(({ message }) => message.data.connection_id)
  t.strictSame(typesOf(ofConnection), ['connection.created', 'grant.created', 'connection.revoked'])
  t.match(typesOf(receiver.accepted), new Set(['app.added']))
  t.strictSame(
    ofConnection.map(({ message }) => message.data),
    [
      { ...{ connection_id: connectionId, app_id: app.id, grant_id: null }, sequence: 1 },
      { ...{ connection_id: connectionId, app_id: app.id, grant_id: grantId }, sequence: 2 },
      { ...{ connection_id: connectionId, app_id: null, grant_id: null }, sequence: 3 },
    ].map((data) => ({ ...data, external_id: null })),
  )
  t.strictSame(Object.keys(ofConnection[0]?.message ?? {}), ['type', 'timestamp', 'data'])
  const bodies = receiver.requests.map(({ body }) => body).join()
  t.notMatch(bodies, /ann@|amelie|token/)
})

t.test('an app learns of its own users only, and nothing of other apps', async (t) => {
  const { broker, receiver } = await build(t)
  const [mine, other] = [await addApp(broker), await addApp(broker)]
  await addWebhook(broker, receiver.url, { appId: mine.id })
  const { connectionId } = await connect(broker, other, { user: 'bo' })
  await connect(broker, mine)
  const { connectionId: shared } = await connect(broker, other)
  await broker.services.connections.revoke(connectionId, actor)
  await broker.services.connections.revoke(shared, actor)
  await receiver.until(() => typesOf(receiver.accepted).includes('connection.revoked'))
  t.strictSame(typesOf(receiver.accepted), [
    'connection.created',
    'grant.created',
    'connection.revoked',
  ])
  const bodies = receiver.requests.map(({ body }) => body).join()
  t.notMatch(bodies, other.id)
  t.notMatch(bodies, connectionId)
  t.match(receiver.accepted.at(-1)?.message.data, { connection_id: shared, app_id: mine.id })
})

t.test('only the requested types arrive', async (t) => {
  const { broker, receiver } = await build(t)
  await addWebhook(broker, receiver.url, { types: ['connection.revoked'] })
  const { connectionId } = await connect(broker, await addApp(broker))
  await broker.services.connections.revoke(connectionId, actor)
  await receiver.until(() => receiver.accepted.length > 0)
  t.strictSame(typesOf(receiver.accepted), ['connection.revoked'])
})

t.test(
  'HMAC signatures are verified by standardwebhooks and svix, also during a rotation',
  async (t) => {
    const { broker, receiver } = await build(t)
    const { webhook, signing } = await addWebhook(broker, receiver.url, { signing: 'v1' })
    const test = async () => {
      t.match(await broker.services.webhooks.test(webhook.id, actor), { outcome: 'delivered' })
      return receiver.requests.at(-1) as Received
    }
    const isValid = ({ body, headers }: Received, key: string) => {
      const results = [StandardWebhook, SvixWebhook].map((Webhook) => {
        try {
          new Webhook(key).verify(body, headers as Record<string, string>)
          return true
        } catch {
          return false
        }
      })
      t.equal(results[0], results[1], 'both libraries agree')
      return results[0]
    }
    const old = signing.key.reveal()
    t.match(signing, { isPublic: false })
    const first = await test()
    t.equal(isValid(first, old), true)
    t.equal(isValid({ ...first, body: first.body.replace('test', 'tset') }, old), false)
    const renewed = (await broker.services.webhooks.rotateSecret(webhook.id, actor)).key.reveal()
    const both = await test()
    t.equal(isValid(both, old), true)
    t.equal(isValid(both, renewed), true)
    broker.clock.advance(24 * 60 * 60_000)
    t.equal(String((await test()).headers['webhook-signature']).split(' ').length, 1)
  },
)

t.test('Ed25519 signatures are verified with the public key alone', async (t) => {
  const { broker, receiver } = await build(t)
  const { webhook, signing } = await addWebhook(broker, receiver.url)
  await broker.services.webhooks.test(webhook.id, actor)
  const { id, headers, body } = receiver.requests[0] as Received
  const key = signing.key.reveal()
  t.match(key, /^whpk_[A-Za-z0-9+/]{43}=$/)
  t.equal(key, webhook.publicKey)
  const x = Buffer.from(key.slice(5), 'base64').toString('base64url')
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  const [version, signature = ''] = String(headers['webhook-signature']).split(',')
  t.equal(version, 'v1a')
  const signed = Buffer.from(`${id}.${String(headers['webhook-timestamp'])}.${body}`)
  t.equal(verify(null, signed, publicKey, Buffer.from(signature, 'base64')), true)
})

t.test('410 disables an endpoint, and an admin enables it again', async (t) => {
  const { broker, receiver } = await build(t)
  const { webhooks } = broker.services
  const { webhook } = await addWebhook(broker, receiver.url)
  receiver.answer = status(410)
  await addApp(broker)
  await receiver.until(() => receiver.requests.length === 1)
  while ((await webhooks.get(webhook.id)).disabledAt === null) await broker.clock.sleep(10)
  t.match(await webhooks.get(webhook.id), { disabledReason: /410/ })
  await addApp(broker)
  receiver.answer = status(200)
  await webhooks.setEnabled(webhook.id, true, actor)
  const last = await addApp(broker)
  await receiver.until(() => receiver.accepted.length === 1)
  t.match(receiver.accepted, [{ message: { data: { app_id: last.id } } }])
  await webhooks.setEnabled(webhook.id, true, actor)
  const { rows } = await broker.services.store.listEvents({ limit: 20 })
  t.equal(rows.filter(({ action }) => action === 'webhook.enabled').length, 1, 'it was already')
})

t.test('replays: one delivery, and a time range', async (t) => {
  const { broker, receiver } = await build(t)
  const { webhooks } = broker.services
  await addApp(broker)
  const { webhook } = await addWebhook(broker, receiver.url)
  const app = await addApp(broker)
  await receiver.until(() => receiver.accepted.length === 1)
  const first = receiver.accepted[0] as Received
  t.match(first.message.data, { app_id: app.id })
  const settled = async () => {
    for (;;) {
      const { rows } = await webhooks.listDeliveries(webhook.id, { cursor: null, limit: 10 })
      if (rows.every(({ status }) => status === 'delivered')) return rows
      await broker.clock.sleep(10)
    }
  }
  const [row] = await settled()
  t.match(row, { type: 'app.added', messageId: first.id, answer: 204, attempts: 1 })
  await webhooks.replay(webhook.id, row?.id ?? 0, actor)
  await receiver.until(() => receiver.accepted.length === 2)
  t.equal(receiver.accepted[1]?.id, first.id, 'the same id, so that receivers can ignore it')
  await settled()
  const now = broker.clock.now()
  t.equal(await webhooks.replayRange(webhook.id, { from: now - 60_000, to: now + 1 }, actor), 2)
  await receiver.until(() => receiver.accepted.length === 4)
  t.equal(await webhooks.replayRange(webhook.id, { from: 0, to: now - 60_000 }, actor), 0)
  const { webhook: another } = await addWebhook(broker, receiver.url)
  for (const [id, deliveryId = 0] of [[webhook.id, 999] as const, [another.id, row?.id] as const]) {
    await t.rejects(webhooks.replay(id, deliveryId, actor), { code: 'invalid_request' })
  }
  const { rows } = await broker.services.store.listEvents({ limit: 20 })
  t.strictSame(
    rows.flatMap(({ action, details }) =>
      action === 'webhook.replayed' ? (details?.split('): ')[1] ?? '').replace(/ to .*/, '…') : [],
    ),
    [`${new Date(now - 60_000).toISOString()}…`, first.id],
    'each that replayed something is in the audit log, once',
  )
})

t.test('a replay of a time range sends what the endpoint asked for, of that time', async (t) => {
  const broker = await buildBroker(t)
  const { store, webhooks, clock } = broker.services
  const app = await addApp(broker)
  const { webhook } = await addWebhook(broker, 'https://ops.example.com/', {
    ...{ appId: app.id, types: ['grant.revoked' as const] },
  })
  const start = clock.now()
  const add = (count: number, at: number, action = 'grant.revoked', appId = app.id) =>
    store.addEvents(Array.from({ length: count }, () => ({ at, actor: 'system', action, appId })))
  // More than a batch; one of the time came after a later one, as the clock went back.
  await add(1, start - 1)
  await add(120, start)
  await add(1, start, 'grant.begun')
  await add(1, start, 'grant.revoked', 'app_x')
  await add(1, start + 10)
  await add(1, start + 9)
  const range = { from: start, to: start + 10 }
  t.equal(await webhooks.replayRange(webhook.id, range, actor), 121)
  const { rows } = await store.listEvents({ limit: 200 })
  t.equal(rows.filter(({ action }) => action === 'webhook.replayed').length, 1)
})

t.test('an endpoint says when to try again: in seconds, or as a date', async (t) => {
  const { broker, receiver } = await build(t)
  const { webhook } = await addWebhook(broker, receiver.url)
  const ask = async (value: string) => {
    receiver.answer = status(503, { 'retry-after': value })
    return (await broker.services.webhooks.test(webhook.id, actor)).retryAfterMs
  }
  t.equal(await ask('3600'), 3_600_000)
  const date = new Date(broker.clock.now() + 7_200_000).toUTCString()
  const untilDateMs = (await ask(date)) ?? 0
  t.ok(untilDateMs > 7_100_000 && untilDateMs <= 7_200_000, `${untilDateMs} ms`)
  for (const value of ['soon', '0', new Date(0).toUTCString()])
    t.equal(await ask(value), undefined, value)
})

t.test('a replay tries at once what waits for its next attempt', async (t) => {
  const { broker, receiver } = await build(t)
  const { webhooks } = broker.services
  const { webhook } = await addWebhook(broker, receiver.url)
  receiver.answer = status(500, { 'retry-after': '3600' })
  await addApp(broker)
  const waiting = async () => {
    for (;;) {
      const { rows } = await webhooks.listDeliveries(webhook.id, { cursor: null, limit: 10 })
      if (rows[0]?.attempts === 1) return rows[0]
      await broker.clock.sleep(10)
    }
  }
  const row = await waiting()
  t.ok((row.nextAt ?? 0) > broker.clock.now() + 3_000_000, 'as the endpoint asked')
  const details = { webhook: webhook.id, problem: 'the endpoint answered with status 500' }
  t.ok(
    broker.logged.some((line) => line.includes(JSON.stringify(details).slice(1, -1))),
    'the log has the reason',
  )
  receiver.answer = status(200)
  const range = { from: 0, to: broker.clock.now() + 1 }
  t.equal(await webhooks.replayRange(webhook.id, range, actor), 0, 'pending ones do not count')
  await receiver.until(() => receiver.accepted.length === 1)
})

t.test('settings that can’t work are refused with every problem', async (t) => {
  const { services } = await buildBroker(t)
  const add = (url: string, more = {}) =>
    services.webhooks.add({ url, appId: null, types: [], signing: 'v1a', ...more }, actor)
  const refused = {
    'http://example.com/': /https/,
    'ftp://example.com/': /https/,
    nonsense: /https/,
    'https://user@example.com/': /user or password/,
    'https://:secret@example.com/': /user or password/,
    'https://example.com/#x': /fragment/,
    [`https://example.com/${'x'.repeat(2000)}`]: /longer/,
  }
  for (const [url, message] of Object.entries(refused))
    await t.rejects(add(url), { code: 'invalid_request', message }, url.slice(0, 50))
  await t.rejects(add('http://a/', { appId: 'app_x', types: ['app.added'] }), {
    message: /https.*no app app_x.*app\.added/s,
  })
  t.strictSame(await services.webhooks.list(), [])
})

t.test('secrets are sealed, overwritten when they end, and in no log or event', async (t) => {
  const { broker, receiver } = await build(t)
  const { webhooks, store } = broker.services
  const { webhook, signing } = await addWebhook(broker, receiver.url, { signing: 'v1' })
  const database = new Database(join(broker.dataDir, 'broker.db'), { readonly: true })
  t.teardown(() => database.close())
  const count = database.prepare('select count(*) from sealed where bytes in (?, ?)').pluck()
  /** How many of the secrets as they are now are in the database; asked again later. */
  const watchSecrets = async () => {
    const { secret, previousSecret } = (await store.getWebhook(webhook.id)) ?? {}
    return () => count.get(secret, previousSecret)
  }
  const first = await watchSecrets()
  t.equal(first(), 1)
  const keys = [signing.key, (await webhooks.rotateSecret(webhook.id, actor)).key]
  t.equal(first(), 0, 'it is sealed anew, as the previous one')
  const both = await watchSecrets()
  t.equal(both(), 2)
  await webhooks.test(webhook.id, actor)
  const { rows } = await store.listEvents({ limit: 10 })
  const written =
    JSON.stringify(rows) + broker.logged.join() + JSON.stringify(await webhooks.list())
  for (const key of keys) t.notMatch(written, key.reveal().slice(6))
  const sealed = async () => {
    const columns = ['previous_secret', 'secret'].map((column) => `webhooks/!/${column}`)
    const found = await Promise.all(columns.map((after) => store.listSealed({ after, limit: 100 })))
    return found.flat().filter(({ key }) => key.startsWith('webhooks/')).length
  }
  t.equal(await sealed(), 2)
  t.equal(await webhooks.remove(webhook.id, actor), true)
  t.equal(await webhooks.remove(webhook.id, actor), false)
  t.equal(await sealed(), 0)
  t.equal(both(), 0)
})
