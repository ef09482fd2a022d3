import t from 'tap'
import type { Store } from '../../db/store.ts'
import { addApp, allow, authorize, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

/** Follows a plain connect link to its last page. */
async function followLink(broker: TestBroker, path: string, user = 'amelie') {
  const visitor = new Visitor()
  const asked = await visitor.open(broker.url + path)
  return allow(visitor, await visitor.press(asked, 'Continue to Ellipsis Drive'), user)
}

/** Makes a store method fail a number of times, as on a full disk. */
function breakStore({ services }: TestBroker, method: keyof Store, times: number): void {
  const store = services.store as unknown as Record<string, (...args: unknown[]) => unknown>
  const real = store[method]
  let remaining = times
  store[method] = async (...args: unknown[]) => {
    if (remaining-- > 0) throw new Error('disk I/O error')
    return real?.(...args)
  }
}

t.test('tokens are stored after the store has failed for a while', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  breakStore(broker, 'saveConnection', 3)
  const { brokerToken } = await broker.clock.hurry(connect(broker, app))
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.ok(broker.logged.some((line) => line.includes('can’t be stored; retrying')))
})

t.test('a store that keeps failing returns an error to the app', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { store } = broker.services
  Object.assign(store, {
    saveConnection: async () => {
      broker.clock.advance(20_000)
      throw new Error('disk I/O error')
    },
  })
  const { returned } = await broker.clock.hurry(authorize(broker, app))
  t.equal(returned.searchParams.get('error'), 'server_error')
})

t.test('if the account request times out, the user connects without a name', async (t) => {
  const broker = await buildBroker(t)
  broker.standIn.addFault({ endpoint: 'account', kind: 'hang' })
  const connecting = connect(broker, await addApp(broker))
  await broker.clock.asleep(8000)
  broker.clock.advance(7999)
  t.same(await Array.fromAsync(broker.services.connections.all()), [])
  broker.clock.advance(1)
  const { connectionId } = await connecting
  const { connection } = await broker.services.connections.show(connectionId)
  t.match(connection, { accountId: null, username: '' })
})

t.test('a plain link rejects an unknown account: nobody could use the connection', async (t) => {
  const broker = await buildBroker(t, { switches: { refuseAccount: true } })
  const app = await addApp(broker)
  const page = await followLink(broker, `/connect/${app.id}?state=x`)
  t.equal(page.status, 400)
  t.match(page.body, 'does not say whose account this is')
  t.same(await Array.fromAsync(broker.services.connections.all()), [])
})

t.test('a reconnect link asks about another account', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  const link = `/connect/${app.id}?connection=${connectionId}`
  t.match((await followLink(broker, link)).body, 'You are connected')
  const page = await followLink(broker, link, 'bo')
  t.match(page.body, /Test map.* asks for .*amelie.* You came back with .*bo/s)
  t.equal((await Array.fromAsync(broker.services.connections.all())).length, 1)
})

t.test('by username alone, only an app with a grant renews a connection', async (t) => {
  const broker = await buildBroker(t, { switches: { accountWithoutId: true } })
  const app = await addApp(broker)
  const { connectionId, grantId } = await connect(broker, app)
  const other = await addApp(broker, { name: 'Second' })
  const parameters = { connection: connectionId }
  const viaLink = (id: string) => ({ path: `/connect/${id}`, parameters })
  t.not((await connect(broker, other, viaLink(other.id))).connectionId, connectionId)
  t.equal((await connect(broker, app, viaLink(app.id))).connectionId, connectionId)
  await broker.services.connections.revokeGrant(grantId, { actor: 'test', address: '' })
  const { grants } = await broker.services.connections.show(connectionId)
  for (const { id } of grants) {
    await broker.services.connections.revokeGrant(id, { actor: 'test', address: '' })
  }
  t.not((await connect(broker, app, viaLink(app.id))).connectionId, connectionId)
})
