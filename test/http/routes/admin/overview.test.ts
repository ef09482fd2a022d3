import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, addAppWithSecret, buildBroker, connect, exchange } from '../../../helper.ts'

/** A page's text, without markup. */
const textOf = ({ body }: { body: string }): string =>
  body
    .replace(/<script.*?<\/script>|<[^>]+>/gs, ' ')
    .replace(/\s+/g, ' ')
    .trim()

t.test('a new broker says what to do first', async (t) => {
  const broker = await buildBroker(t)
  const admin = await signIn(broker)
  const text = textOf(await admin.open(`${broker.url}/admin`))
  t.match(text, '0 connected')
  t.match(text, 'Not asked yet')
  t.match(text, 'No app is registered yet. Register an app')
  t.match(text, 'Without a second factor: admin@example.com.')
})

t.test(
  'the overview tells dead connections from an outage, and what needs attention',
  async (t) => {
    const broker = await buildBroker(t, { switches: { tokenLifetime: 30 } })
    const { services, clock, standIn, url } = broker
    const app = await addApp(broker, { name: 'Flood <map>' })
    const dead = await connect(broker, app)
    const held = await connect(broker, app, { user: 'bo' })
    const admin = await signIn(broker)
    const look = async (query = '') => textOf(await admin.open(`${url}/admin${query}`))
    t.match(await look(), /2 connected.* 2 healthy.* 0 in need of reconnecting.* Up/)

    clock.advance(60_000)
    standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
    for (let count = 0; count < 5; count++) await exchange(broker, dead.brokerToken)
    await services.usage.flush()
    const text = await look()
    t.match(text, /2 connected.* 1 healthy.* 1 in need of reconnecting.* Up/)
    t.match(text, 'One user has to connect again')
    t.match(text, '5 of 5 swaps of Flood &lt;map&gt; failed in the last 24 hours.')
    t.match(text, /Failures 6 /, 'with the refresh')
    for (const period of ['7d', '30d', 'x']) {
      t.match(await look(`?period=${period}`), /Failures 6 /, period)
    }

    const own = await admin.open(`${url}/admin/apps/${app.id}`)
    t.match(textOf(own), /2 connected.* 1 healthy.* 1 in need of reconnecting/)
    t.match(textOf(own), '5 of 5 swaps of Flood &lt;map&gt; failed')
    t.match(own.body, `href="/admin/users?status=needs_reconnect&amp;app=${app.id}">Show who`)
    t.notMatch(own.body, 'Look at the app')
    const other = textOf(await admin.open(`${url}/admin/apps/${(await addApp(broker)).id}`))
    t.match(other, /0 connected.* Nothing. All is well./)

    standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 9 })
    await exchange(broker, held.brokerToken)
    t.match(await look(), /Ellipsis Drive Failing Since .*status 503/)
    standIn.clearFaults()
    clock.advance(60_000)
    t.equal((await exchange(broker, held.brokerToken)).status, 200)
    t.match(await look(), /Ellipsis Drive Up Last answer .* Last failure .*status 503/)
  },
)

t.test('old secrets, bulk revocations and pending erasures are told', async (t) => {
  const broker = await buildBroker(t)
  const { services } = broker
  const { app } = await addAppWithSecret(broker, { name: 'Nightly', confidential: true })
  await services.apps.rotateSecret(app.id, 3600, 'test')
  const { connectionId } = await connect(broker, await addApp(broker))
  const id = await services.bulks.begin([connectionId], 'test')
  const admin = await signIn(broker)
  const look = async () => textOf(await admin.open(`${broker.url}/admin`))
  t.match(await look(), /An old secret of Nightly is about to end/)
  t.match(await look(), /waits to be confirmed. Confirm or cancel/)
  services.bulks.start()
  await services.bulks.confirm(id, 'test')
  while ((await services.bulks.find(id))?.bulk.status !== 'done') {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.match(await look(), /not all their bytes are gone/)
})
