import t from 'tap'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { addApp, addAppWithSecret, buildBroker, connect, exchange } from '../../../helper.ts'
import { allowLoopback, startReceiver } from '../../../events/receiver.ts'
import { openDashboard, textOf } from './dashboard.ts'
import { startIssuer } from '../../../oidc-issuer.ts'

t.test('the overview of a new broker shows the first steps', async (t) => {
  const broker = await buildBroker(t)
  const admin = await signIn(broker)
  const text = textOf(await admin.open(`${broker.url}/admin`))
  t.match(text, '0 Users')
  t.match(text, 'Not contacted yet')
  t.match(text, 'No apps registered yet. Register an app')
  t.match(text, 'No second factor: admin@example.com.')
})

t.test('the overview shows rejected connections, outages and what needs attention', async (t) => {
  const broker = await buildBroker(t, { switches: { tokenLifetime: 30 } })
  const { services, clock, standIn, url } = broker
  const app = await addApp(broker, { name: 'Flood <map>' })
  const rejected = await connect(broker, app)
  const healthy = await connect(broker, app, { user: 'bo' })
  const admin = await signIn(broker)
  const look = async (query = '') => textOf(await admin.open(`${url}/admin${query}`))
  t.match(await look(), /Up .*2 Users.* 2 Connected.* 0 Needs reconnecting/)

  clock.advance(60_000)
  standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
  for (let count = 0; count < 5; count++) await exchange(broker, rejected.brokerToken)
  await services.usage.flush()
  const text = await look()
  t.match(text, /Up .*2 Users.* 1 Connected.* 1 Needs reconnecting/)
  t.match(text, '1 user has to reconnect')
  t.match(text, '5 of 5 swaps of Flood &lt;map&gt; failed in the last 24 hours.')
  t.match(text, /Failures 6 /, 'with the refresh')
  for (const period of ['7d', '30d', 'x']) {
    t.match(await look(`?period=${period}`), /Failures 6 /, period)
  }

  const own = await admin.open(`${url}/admin/apps/${app.id}`)
  t.match(textOf(own), /2 Users.* 1 Connected.* 1 Needs reconnecting/)
  t.match(textOf(own), '5 of 5 swaps of Flood &lt;map&gt; failed')
  t.match(own.body, `href="/admin/users?status=needs_reconnect&amp;app=${app.id}">View users`)
  t.notMatch(own.body, 'View app')
  const other = textOf(await admin.open(`${url}/admin/apps/${(await addApp(broker)).id}`))
  t.match(other, /0 Users.* No issues./)

  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 9 })
  await exchange(broker, healthy.brokerToken)
  t.match(await look(), /Ellipsis Drive Failing First failure .*status 503/)
  standIn.clearFaults()
  clock.advance(60_000)
  t.equal((await exchange(broker, healthy.brokerToken)).status, 200)
  t.match(await look(), /Ellipsis Drive Up Last response .* Last failure .*status 503/)
  clock.advance(3_601_000)
  const later = await signIn(broker)
  t.match(
    textOf(await later.open(`${url}/admin`)),
    /Ellipsis Drive No recent contact Last response .*The broker contacts it when/,
  )
})

t.test('the overview shows expiring secrets, bulk revocations and pending erasures', async (t) => {
  const broker = await buildBroker(t)
  const { services } = broker
  const { app } = await addAppWithSecret(broker, { name: 'Nightly', confidential: true })
  await services.apps.rotateSecret(app.id, 3600, 'test')
  const { connectionId } = await connect(broker, await addApp(broker))
  const id = await services.bulks.begin([connectionId], 'test')
  const admin = await signIn(broker)
  const look = async () => textOf(await admin.open(`${broker.url}/admin`))
  t.match(await look(), /An old secret of Nightly expires soon/)
  t.match(await look(), /is waiting for confirmation. Confirm or cancel/)
  services.bulks.start()
  await services.bulks.confirm(id, 'test')
  while ((await services.bulks.find(id))?.bulk.status !== 'done') {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.match(await look(), /not yet completely erased/)
})

t.test('the overview shows the progress and the problem of a bulk revocation', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  const { connectionId } = await connect(broker, await addApp(broker))
  const id = await bulks.begin([connectionId], 'test')
  await bulks.confirm(id, 'test')
  const { look } = await openDashboard(broker)
  t.match((await look('')).body, /A bulk revocation is running\..*View progress/s)
  await store.takeBulk({ owner: 'x', forMs: 1000 })
  const changes = { leaseOwner: null, trouble: 'The disk is full.' }
  await store.updateBulk({ id, expected: { leaseOwner: 'x' }, changes, events: [] })
  t.match((await look('')).body, 'The disk is full.')
})

t.test('an app that failed and was removed needs no attention', async (t) => {
  const broker = await buildBroker(t)
  const { store, overview, apps } = broker.services
  const app = await addApp(broker)
  const hour = Math.floor(broker.clock.now() / 3_600_000) * 3_600_000
  const count = { appId: app.id, kind: 'swap', outcome: 'server_error', hour, count: 9 } as const
  await store.recordUse({ grants: [], counts: [count] })
  const failing = async () =>
    (await overview.summary()).attention.filter(({ kind }) => kind === 'app_failures')
  t.match(await failing(), [{ failed: 9, of: 9 }])
  await apps.remove(app.id, 'test')
  t.strictSame(await failing(), [])
})

t.test('requests through the proxy are charted once there are any', async (t) => {
  const broker = await buildBroker(t)
  const { services, url } = broker
  const app = await addApp(broker)
  const admin = await signIn(broker)
  const look = async (path = '') => textOf(await admin.open(`${url}/admin${path}`))
  t.notMatch(await look(), 'Proxied')
  for (let count = 0; count < 1200; count++) services.usage.count('drive', app.id, 'ok')
  services.usage.count('drive', app.id, 'slow_down')
  await services.usage.flush()
  for (const path of ['', `/apps/${app.id}`]) {
    t.match(await look(path), /Swaps 0 Proxied requests 1,200 .*Refreshes 0 Failures 1 /, path)
  }
})

t.test('endpoints, and the program, that do not get their events need attention', async (t) => {
  const env = { ...allowLoopback, BROKER_ON_EVENT: '/bin/false' }
  const broker = await buildBroker(t, { env })
  const { webhooks, store, dispatcher } = broker.services
  const receiver = await startReceiver(t)
  receiver.answer = (response) => void response.writeHead(500).end()
  const add = (path: string, appId: string | null = null) =>
    webhooks.add({ url: receiver.url + path, appId, types: [], signing: 'v1a' }, 'test')
  const app = await addApp(broker)
  await add('?failing')
  await add('?own', app.id)
  const { webhook: gone } = await add('?gone')
  const { webhook: disabled } = await add('?disabled')
  dispatcher.start()
  await connect(broker, app)
  await receiver.until(() => receiver.requests.length >= 4)
  await webhooks.disableGone(gone.id)
  await webhooks.setEnabled(disabled.id, false, 'test')
  const look = async (path = '') => textOf(await (await openDashboard(broker)).look(path))
  broker.clock.advance(3_000_000)
  t.notMatch(await look(), 'have not been delivered')
  broker.clock.advance(600_000)
  const text = await look()
  const late = 'have not been delivered for more than an hour. The oldest pending event is from'
  for (const sink of ['?failing', '?own', '/bin/false']) t.match(text, `${sink} ${late}`)
  for (const sink of ['?gone', '?disabled']) t.notMatch(text, `${sink} have`)
  t.match(text, /\?gone wants no more events: .*410.* It was disabled \d+ /)
  t.notMatch(text, '?disabled')
  const ofApp = await look(`/apps/${app.id}`)
  t.match(ofApp, `?own ${late}`)
  for (const other of ['?failing', '?gone', '/bin/false']) t.notMatch(ofApp, other)
  for (const { id } of await webhooks.list()) await webhooks.remove(id, 'test')
  t.ok((await store.countDeliveries()).size > 1)
  t.match(await look(), /\/bin\/false have not/, 'only the program is left')
  t.notMatch(await look(), receiver.url)
})

t.test('second factors are the identity provider’s task when passwords are off', async (t) => {
  const issuer = await startIssuer(t)
  for (const passwords of ['true', 'false']) {
    const env = { ...issuer.env, BROKER_ADMIN_PASSWORDS: passwords }
    const { services } = await buildBroker(t, { env })
    await services.admins.add('ann@example.com', new Secret(PASSWORD), 'test')
    const kinds = (await services.overview.summary()).attention.map(({ kind }) => kind)
    t.equal(kinds.includes('no_second_factor'), passwords === 'true', passwords)
  }
})
