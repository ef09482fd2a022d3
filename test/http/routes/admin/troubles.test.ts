import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Store } from '../../../../db/store.ts'
import { BrokerError } from '../../../../server/errors.ts'
import { signIn } from '../../../admin.ts'
import { connect as addConnection, newTokens } from '../../../db/rows.ts'
import { addApp, buildBroker, connect, exchange } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { removeApp } from '../../../db/rows.ts'

// Users and apps that aren’t as they should be, as an admin meets them.

/** One method of the store fails from now on. */
function breakStore({ services: { store } }: TestBroker, method: keyof Store): void {
  Object.assign(store, { [method]: () => Promise.reject(new Error('the disk is full')) })
}

async function open(broker: TestBroker) {
  const admin = await signIn(broker)
  const look = (path: string) => admin.open(`${broker.url}/admin${path}`)
  return { admin, look }
}

t.test('a refresh that failed in passing is told apart from an outage', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const failing = await connect(broker, app)
  const well = await connect(broker, app, { user: 'bo' })
  broker.clock.advance(3_601_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 3 })
  t.equal((await broker.clock.hurry(exchange(broker, failing.brokerToken))).status, 503)
  t.equal((await exchange(broker, well.brokerToken)).status, 200)
  const { look } = await open(broker)
  t.match((await look('/users')).body, 'Last refresh failed')
  const { body } = await look(`/users/${failing.connectionId}`)
  t.match(body, 'The last refresh failed. The connection isn’t dead: it is tried again.')
  t.notMatch(body, 'hasn’t answered as it should')
})

t.test('a user whose name isn’t known is called by the connection’s id', async (t) => {
  const broker = await buildBroker(t, { switches: { refuseAccount: true } })
  const { connectionId } = await connect(broker, await addApp(broker))
  const id = await broker.services.bulks.begin([connectionId], 'test')
  const { look } = await open(broker)
  t.match((await look(`/users/${connectionId}/revoke`)).body, `${connectionId}`)
  t.match((await look(`/bulk/${id}`)).body, new RegExp(`<bdi>${connectionId}</bdi>`))
})

t.test('what isn’t there (any more) can’t be asked about, nor changed', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { admin, look } = await open(broker)
  for (const deed of ['/revoke', '/erase', '/apps/x/revoke', '/devices/x/revoke']) {
    const page = await look(`/users/con_none${deed}`)
    t.equal(page.status, 404)
    t.match(page.body, 'There is no such user (any more).')
  }
  const edit = await look(`/apps/${app.id}/edit`)
  await broker.services.apps.remove(app.id, 'test')
  const late = await admin.press(edit, 'Save')
  t.equal(late.status, 404)
  t.match(late.body, 'There is no such app (any more).')
})

t.test('a refresh that is asked for and fails here is an error; a reason is told', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const { admin, look } = await open(broker)
  const page = await look(`/users/${connectionId}`)
  const { connections } = broker.services
  const { refresh } = connections
  const description = 'There is no connection con_x.'
  connections.refresh = () => Promise.reject(new BrokerError('invalid_request', { description }))
  t.match((await admin.press(page, 'Refresh now')).body, description)
  connections.refresh = refresh
  breakStore(broker, 'takeLease')
  const failed = await admin.press(page, 'Refresh now')
  t.equal(failed.status, 500)
  t.notMatch(failed.body, 'the disk is full')
})

t.test('a store that fails while an app is registered is no fault of the form', async (t) => {
  const broker = await buildBroker(t)
  const { admin, look } = await open(broker)
  const form = { name: 'Map', redirect_uris: 'https://map.example.com/', lifetime: '1d' }
  const page = await look('/apps/new')
  const bound = await admin.press(page, 'Register this app', { ...form, dpop: 'yes' })
  t.match(bound.body, 'Registered the app')
  t.match(await broker.services.apps.list(), [{ dpop: 'required' }])
  breakStore(broker, 'addApp')
  t.equal((await admin.press(page, 'Register this app', form)).status, 500)
})

t.test('an app for devices alone has no connect link; one user is one', async (t) => {
  const broker = await buildBroker(t)
  const device = await addApp(broker, { device: true, redirectUris: [] })
  const used = await addApp(broker)
  await connect(broker, used)
  const { look } = await open(broker)
  t.notMatch((await look(`/apps/${device.id}`)).body, `/connect/${device.id}`)
  t.match((await look(`/apps/${used.id}`)).body, `/connect/${used.id}`)
  t.match((await look(`/apps/${used.id}/remove`)).body, '1 user is cut off in it')
})

t.test('grants of a removed app, and ended ones, say so until they are gone', async (t) => {
  const broker = await buildBroker(t)
  const [gone, left] = [await addApp(broker, { name: 'Gone' }), await addApp(broker)]
  const { connectionId } = await connect(broker, gone)
  await connect(broker, left)
  await removeApp(broker.services.store, gone.id, [])
  broker.clock.advance(31 * 86_400_000)
  const { admin, look } = await open(broker)
  const list = await look('/users')
  t.match(list.body, 'A removed app')
  const { body } = await look(`/users/${connectionId}`)
  t.match(body, 'A removed app')
  t.match(body, 'Ended with its app')
  t.match(body, '>Ended</span>')
  t.notMatch(body, `/admin/apps/${gone.id}`)
  t.match((await look(`/users/${connectionId}/apps/${gone.id}/revoke`)).body, 'the removed app')
  t.match((await admin.press(list, 'Export as CSV')).body, gone.id, 'by its id')
})

t.test('bytes that something still reads are being erased, and that is said', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  broker.clock.advance(3_601_000)
  const { admin, look } = await open(broker)
  const asked = await look(`/users/${connectionId}/revoke`)
  const reader = new Database(join(broker.dataDir, 'broker.db'), { readonly: true })
  reader.exec('begin')
  reader.prepare('select * from connections').all()
  const done = await broker.clock.hurry(admin.press(asked, 'Revoke everything'))
  reader.close()
  t.match(done.body, 'No access token is out any more.')
  t.match(done.body, 'bytes are being erased; something reads the database just now')
})

t.test('of more than a thousand users that a search finds, the first are shown', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const names = Array.from({ length: 1001 }, (_, index) => `anton ${index}`)
  await Promise.all(
    names.map((username) => addConnection(store, username, { username, tokens: newTokens('x') })),
  )
  const { look } = await open(broker)
  t.match((await look('/users?q=anton')).body, 'More than 1,000 users')
})

t.test(
  'a search that can’t try every name says so, and all that match can be acted on',
  async (t) => {
    const broker = await buildBroker(t)
    const client = new Database(join(broker.dataDir, 'broker.db'))
    // So many have the name that the one who is connected comes too late to be tried.
    for (const [name, count, status] of [
      ['zz anton', 5001, 'revoked'],
      ['bo', 30_000, 'active'],
      ['zz anton of all', 1, 'active'],
    ]) {
      const query = `
      with recursive number(n) as (select 1 union all select n + 1 from number where n < @count)
      insert into connections (id, username, name_key, status, generation, failures, connected_at)
      select @name || n, @name || n, @name || n, @status, 1, 0, n from number`
      client.prepare(query).run({ name, count, status })
    }
    client.close()
    const { admin, look } = await open(broker)
    const found = await look('/users?q=anton')
    t.match(found.body, 'Nobody was found among those that were tried.')
    t.match(found.body, 'more users may match')
    t.notMatch(found.body, 'Nobody matches')
    t.notMatch(found.body, '<table')
    t.match((await admin.press(found, 'Export as CSV')).body, 'zz anton of all1')
    t.match((await admin.press(found, 'Revoke all that match…')).body, 'found by “anton”')
    t.match((await look('/users?q=anton&status=all')).body, 'More than 1,000 users match.')
    t.match((await look('/users?q=anton+of+all')).body, '1 user matches.')
  },
)

t.test('a word that every object knows is no status, period or order', async (t) => {
  const broker = await buildBroker(t)
  await connect(broker, await addApp(broker))
  const { look } = await open(broker)
  t.match((await look('/users?status=constructor&order=constructor')).body, '1 user.')
  const { status, body } = await look('?period=constructor')
  t.equal(status, 200)
  t.match(body, 'the last 24 hours')
})
