import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Store } from '../../../../db/store.ts'
import { BrokerError } from '../../../../server/errors.ts'
import { connect as addConnection, newTokens } from '../../../db/rows.ts'
import { addApp, buildBroker, connect, exchange } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { removeApp } from '../../../db/rows.ts'
import { openDashboard } from './dashboard.ts'

// Pages of users and apps in unusual states, and errors.

/** Makes one method of the store fail from now on. */
function breakStore({ services: { store } }: TestBroker, method: keyof Store): void {
  Object.assign(store, { [method]: () => Promise.reject(new Error('the disk is full')) })
}

t.test('a single failed refresh looks different from an outage', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const failing = await connect(broker, app)
  const healthy = await connect(broker, app, { user: 'bo' })
  broker.clock.advance(3_601_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 3 })
  t.equal((await broker.clock.hurry(exchange(broker, failing.brokerToken))).status, 503)
  t.equal((await exchange(broker, healthy.brokerToken)).status, 200)
  const { look } = await openDashboard(broker)
  t.match((await look('/users')).body, 'Last refresh failed')
  const { body } = await look(`/users/${failing.connectionId}`)
  t.match(body, 'The last refresh failed. The connection is not lost: the broker retries.')
  t.notMatch(body, 'Ellipsis Drive is failing')
})

t.test('a user without a name is shown by the connection’s id', async (t) => {
  const broker = await buildBroker(t, { switches: { refuseAccount: true } })
  const { connectionId } = await connect(broker, await addApp(broker))
  const id = await broker.services.bulks.begin([connectionId], 'test')
  const { look } = await openDashboard(broker)
  t.match((await look(`/users/${connectionId}/revoke`)).body, `${connectionId}`)
  t.match((await look(`/bulk/${id}`)).body, new RegExp(`<bdi>${connectionId}</bdi>`))
})

t.test('pages and changes of something deleted answer 404', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { admin, look } = await openDashboard(broker)
  for (const action of ['/revoke', '/erase', '/apps/x/revoke', '/devices/x/revoke']) {
    const page = await look(`/users/con_none${action}`)
    t.equal(page.status, 404)
    t.match(page.body, 'This user does not exist or was deleted.')
  }
  const edit = await look(`/apps/${app.id}/edit`)
  await broker.services.apps.remove(app.id, 'test')
  const late = await admin.press(edit, 'Save')
  t.equal(late.status, 404)
  t.match(late.body, 'This app does not exist or was removed.')
})

t.test('a failed refresh shows its reason; an internal error answers 500', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const { admin, look } = await openDashboard(broker)
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

t.test('a store error while registering an app is not shown as a form problem', async (t) => {
  const broker = await buildBroker(t)
  const { admin, look } = await openDashboard(broker)
  const form = { name: 'Map', redirect_uris: 'https://map.example.com/', lifetime: '1d' }
  const page = await look('/apps/new')
  const bound = await admin.press(page, 'Register app', { ...form, dpop: 'yes' })
  t.match(bound.body, 'Registered the app')
  t.match(await broker.services.apps.list(), [{ dpop: 'required' }])
  breakStore(broker, 'addApp')
  t.equal((await admin.press(page, 'Register app', form)).status, 500)
})

t.test(
  'only public apps with redirect URIs have a connect link; one user is counted in the singular',
  async (t) => {
    const broker = await buildBroker(t)
    const device = await addApp(broker, { device: true, redirectUris: [] })
    const used = await addApp(broker)
    await connect(broker, used)
    const { look } = await openDashboard(broker)
    const server = await addApp(broker, { confidential: true })
    for (const { id } of [device, server])
      t.notMatch((await look(`/apps/${id}`)).body, `/connect/${id}`)
    t.match((await look(`/apps/${used.id}`)).body, `/connect/${used.id}`)
    t.match((await look(`/apps/${used.id}/remove`)).body, '1 user loses access')
  },
)

t.test(
  'grants of a removed app and expired grants are shown as such until they are deleted',
  async (t) => {
    const broker = await buildBroker(t)
    const [removed, kept] = [await addApp(broker, { name: 'Gone' }), await addApp(broker)]
    const { connectionId } = await connect(broker, removed)
    await connect(broker, kept)
    await removeApp(broker.services.store, removed.id, [])
    broker.clock.advance(31 * 86_400_000)
    const { admin, look } = await openDashboard(broker)
    const list = await look('/users')
    t.match(list.body, 'Removed app')
    const { body } = await look(`/users/${connectionId}`)
    t.match(body, 'Removed app')
    t.match(body, 'App removed')
    t.match(body, '>Expired</span>')
    t.notMatch(body, `/admin/apps/${removed.id}`)
    t.match(
      (await look(`/users/${connectionId}/apps/${removed.id}/revoke`)).body,
      'the removed app',
    )
    t.match((await admin.press(list, 'Export CSV')).body, removed.id, 'by its id')
  },
)

t.test('an erasure that waits for a reader of the database is shown', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  broker.clock.advance(3_601_000)
  const { admin, look } = await openDashboard(broker)
  const confirmation = await look(`/users/${connectionId}/revoke`)
  const reader = new Database(join(broker.dataDir, 'broker.db'), { readonly: true })
  reader.exec('begin')
  reader.prepare('select * from connections').all()
  const done = await broker.clock.hurry(admin.press(confirmation, 'Revoke everything'))
  reader.close()
  t.match(done.body, 'No valid access token is left.')
  t.match(
    done.body,
    'still being erased from disk, because another program is reading the database',
  )
})

t.test('a search with more than a thousand matches says so', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const names = Array.from({ length: 1001 }, (_, index) => `anton ${index}`)
  await Promise.all(
    names.map((username) => addConnection(store, username, { username, tokens: newTokens('x') })),
  )
  const { look } = await openDashboard(broker)
  t.match((await look('/users?q=anton')).body, 'More than 1,000 users')
})

t.test('a partial search says so, and actions include all matches', async (t) => {
  const broker = await buildBroker(t)
  const client = new Database(join(broker.dataDir, 'broker.db'))
  // Enough revoked users with the name that the connected one is not checked.
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
  const { admin, look } = await openDashboard(broker)
  const found = await look('/users?q=anton')
  t.match(found.body, 'No match among the names that were checked.')
  t.match(found.body, 'more users may match')
  t.notMatch(found.body, 'No users match these filters')
  t.notMatch(found.body, '<table')
  t.match((await admin.press(found, 'Export CSV')).body, 'zz anton of all1')
  t.match((await admin.press(found, 'Revoke all matches…')).body, 'matching “anton”')
  t.match((await look('/users?q=anton&status=all')).body, 'More than 1,000 users match.')
  t.match((await look('/users?q=anton+of+all')).body, '1 user matches.')
})

t.test('names of Object.prototype are no status, period or order', async (t) => {
  const broker = await buildBroker(t)
  await connect(broker, await addApp(broker))
  const { look } = await openDashboard(broker)
  t.match((await look('/users?status=constructor&order=constructor')).body, '1 user.')
  const { status, body } = await look('?period=constructor')
  t.equal(status, 200)
  t.match(body, 'the last 24 hours')
})
