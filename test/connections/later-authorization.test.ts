import t from 'tap'
import type { Test } from 'tap'
import { RETURN, addApp, allow, authorize, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { rewritingFetch, without } from '../ellipsis/rewrite.ts'
import { listConnections } from '../db/rows.ts'
import { Visitor } from '../visitor.ts'

async function begin(t: Test, switches: Parameters<typeof buildBroker>[1] = {}) {
  const change: Parameters<typeof rewritingFetch>[0] = {}
  const broker = await buildBroker(t, { ...switches, runtime: { fetch: rewritingFetch(change) } })
  const app = await addApp(broker)
  return { broker, app, change }
}

const refreshLater = async (broker: TestBroker, brokerToken: string) => {
  broker.clock.advance(2 * 3_600_000)
  return exchange(broker, brokerToken)
}

const UNUSABLE_REFRESH_TOKENS: [string, (json: Record<string, unknown>) => object][] = [
  ['none', without('refresh_token')],
  ['null', (json) => ({ ...json, refresh_token: null })],
  ['empty', (json) => ({ ...json, refresh_token: '' })],
  ['unusable', (json) => ({ ...json, refresh_token: 'a\nb' })],
]

t.test('a later authorization without a refresh token keeps the stored one', async (t) => {
  for (const [name, token] of UNUSABLE_REFRESH_TOKENS) {
    for (const rotation of ['never', 'always'] as const) {
      const { broker, app, change } = await begin(t, { switches: { rotation } })
      const first = await connect(broker, app)
      const before = await broker.services.store.getConnection(first.connectionId)
      change.token = (json) => ({ ...token(json) })
      const second = await connect(broker, app)
      t.equal(second.connectionId, first.connectionId, name)
      t.strictSame(await broker.services.store.getConnection(first.connectionId), before, name)
      delete change.token
      for (const { brokerToken } of [first, second]) {
        t.equal((await refreshLater(broker, brokerToken)).status, 200, name)
      }
      t.equal((await listConnections(broker.services.store)).length, 1)
    }
  }
})

t.test('a refresh that is under way meanwhile keeps what it brings', async (t) => {
  const { broker, app, change } = await begin(t, { switches: { rotation: 'always' } })
  const first = await connect(broker, app)
  broker.clock.advance(2 * 3_600_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'late', milliseconds: 7777 })
  const refreshing = exchange(broker, first.brokerToken)
  await broker.clock.asleep(7777)
  change.token = (json, grantType) =>
    grantType === 'authorization_code' ? without('refresh_token')(json) : json
  const second = await connect(broker, app)
  t.equal(second.connectionId, first.connectionId)
  broker.clock.advance(7777)
  t.equal((await refreshing).status, 200)
  t.equal((await refreshLater(broker, second.brokerToken)).status, 200)
  t.match(await broker.services.store.getConnection(first.connectionId), { status: 'active' })
})

t.test('a connection that needs reconnecting takes no authorization without one', async (t) => {
  const { broker, app, change } = await begin(t)
  const { connectionId } = await connect(broker, app)
  const mark = { after: null, limit: 9, toOtherApi: false, reason: 'refused' }
  await broker.services.store.markConnectionsForReconnect(mark)
  change.token = without('refresh_token')
  const { returned } = await authorize(broker, app)
  t.equal(returned.searchParams.get('error'), 'server_error')
  t.match(returned.searchParams.get('error_description'), /Ellipsis Drive sent no refresh token/)
  t.match(await broker.services.store.getConnection(connectionId), { status: 'needs_reconnect' })
})

t.test('only a first authorization without a refresh token fails', async (t) => {
  for (const [name, token] of UNUSABLE_REFRESH_TOKENS) {
    const { broker, app, change } = await begin(t)
    change.token = (json) => ({ ...token(json) })
    const { returned } = await authorize(broker, app)
    t.equal(returned.searchParams.get('error'), 'server_error', name)
    const description = returned.searchParams.get('error_description') ?? ''
    t.match(
      description,
      /^Ellipsis Drive sent no refresh token.*tell the host of this broker\. Request id: \S+$/,
    )
    t.match(description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, 'RFC 6749 4.1.2.1')
    t.same(await listConnections(broker.services.store), [])
    const visitor = new Visitor()
    const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
    const page = await allow(
      visitor,
      await visitor.press(asked, 'Continue to Ellipsis Drive'),
      'amelie',
    )
    t.match(page.body, 'Ellipsis Drive sent no refresh token')
    t.notMatch(page.body, 'problem of its own')
    delete change.token
    await connect(broker, app)
  }
})

t.test('a username that is no longer told stays', async (t) => {
  const { broker, app, change } = await begin(t)
  const { connectionId } = await connect(broker, app)
  const names: ((json: Record<string, unknown>) => Record<string, unknown>)[] = [
    without('username'),
    (json) => ({ ...json, username: '' }),
    (json) => ({ ...json, username: ' \u202e\u200b ' }),
    (json) => ({ ...json, username: null }),
    (json) => ({ ...json, username: 7 }),
  ]
  for (const account of names) {
    change.account = account
    t.equal((await connect(broker, app)).connectionId, connectionId)
    const { connection } = await broker.services.connections.show(connectionId)
    t.equal(connection.username, 'amelie')
    t.equal((await listConnections(broker.services.store)).length, 1)
  }
  change.account = (json) => ({ ...json, username: 'amelie-2' })
  await connect(broker, app)
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.username, 'amelie-2', 'a new one is taken')
  const visitor = new Visitor()
  change.account = without('username')
  const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
  const page = await allow(
    visitor,
    await visitor.press(asked, 'Continue to Ellipsis Drive'),
    'amelie',
    RETURN,
  )
  t.match(page.body, 'amelie-2', 'and the page shows the known one')
})

t.test('an account id that is no longer told stays, and a reconnect link finds it', async (t) => {
  const { broker, app, change } = await begin(t)
  const { connectionId } = await connect(broker, app)
  const { accountId } = (await broker.services.connections.show(connectionId)).connection
  change.account = without('id')
  const link = { path: `/connect/${app.id}`, parameters: { connection: connectionId } }
  t.equal((await connect(broker, app, link)).connectionId, connectionId)
  const { connection } = await broker.services.connections.show(connectionId)
  t.match(connection, { accountId, username: 'amelie' })
  t.not((await connect(broker, app, { ...link, user: 'bo' })).connectionId, connectionId)
  const other = await addApp(broker, { name: 'Second' })
  const foreign = { ...link, path: `/connect/${other.id}` }
  t.not(
    (await connect(broker, other, foreign)).connectionId,
    connectionId,
    'an app without a grant',
  )
})
