import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, allow, buildBroker, connect, exchange } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { fillBroker } from '../../../sample-data.ts'
import { Visitor } from '../../../visitor.ts'

/** The names in the list, in order. */
const names = (body: string): string[] =>
  [...body.matchAll(/<a class="name" href="[^"]*"><bdi>(.*?)<\/bdi>/gs)].map(
    ([, name = '']) => name,
  )

const link = (body: string, label: string): string => {
  const found = [...body.matchAll(/<a [^>]*href="([^"]*)"[^>]*>(.*?)<\/a>/gs)].find(
    ([, , text = '']) => text.replace(/<[^>]*>|[←→]/g, '').trim() === label,
  )
  if (!found) throw new Error(`no link "${label}" in:\n${body}`)
  return (found[1] ?? '').replaceAll('&amp;', '&')
}

async function open(broker: TestBroker, path: string) {
  const admin = await signIn(broker)
  return { admin, page: await admin.open(`${broker.url}/admin${path}`) }
}

t.test('the empty list explains what to do next', async (t) => {
  const broker = await buildBroker(t)
  const { admin, page } = await open(broker, '/users')
  t.match(page.body, 'No connected users yet')
  t.match(page.body, 'Register an app')
  await addApp(broker)
  const again = await admin.open(`${broker.url}/admin/users`)
  t.match(again.body, 'Go to apps and connect links')
})

t.test('the list is searched, filtered, sorted and paged', async (t) => {
  const broker = await buildBroker(t)
  const data = await fillBroker(broker)
  const { admin, page } = await open(broker, '/users')
  const get = (query: string) => admin.open(`${broker.url}/admin/users?${query}`)
  t.equal(names(page.body).length, 25)
  t.match(page.body, '33 users.')
  t.equal(names(page.body)[0], 'amelie', 'the latest to connect comes first')

  const second = await admin.open(broker.url + link(page.body, 'Next page'))
  t.equal(names(second.body).length, 8)
  const first = await admin.open(broker.url + link(second.body, 'Previous page'))
  t.strictSame(names(first.body), names(page.body))

  const found = await get('q=PERSON1')
  t.match(found.body, /11 users\s+match\./)
  t.equal(names(found.body)[0], 'person1', 'search results are sorted by name')
  const searched = await admin.press(page, 'Search', { q: 'PERSON1' })
  t.equal(names(searched.body)[0], 'person1', 'also with the form')
  const other = await admin.open(broker.url + link(found.body, 'User'))
  t.equal(names(other.body)[0], 'person19')
  t.match(other.body, 'aria-sort="descending"')
  const kept = await admin.press(other, 'Search', { q: 'person1' })
  t.match(kept.body, 'aria-sort="descending"', 'a chosen order is kept')
  t.match((await get('q=person5')).body, /1 user\s+matches\./)
  t.strictSame(names((await get(`q=${data.troubledId}`)).body), ['bo.lindqvist'])
  t.match((await get('q=nobody')).body, 'No users match these filters')

  t.strictSame(names((await get('status=needs_reconnect')).body), ['bo.lindqvist'])
  t.strictSame(names((await get('status=revoked')).body).length, 2)
  t.equal(names((await get(`app=${data.oddAppId}&status=all`)).body).length, 10)
  t.equal(names((await get('app=app_none')).body).length, 0)
  t.equal(names((await get('status=x&sort=x&order=x&from=x&app[]=x')).body).length, 25)
  t.match(names((await get('sort=used')).body)[0], 'amelie')
})

t.test('names are shown as text', async (t) => {
  const broker = await buildBroker(t)
  await fillBroker(broker)
  const { page } = await open(broker, '/users?q=script')
  t.match(page.body, '&lt;script&gt;alert(1)')
  t.notMatch(page.body, '<script>alert')
  t.match(names((await open(broker, '/users?q=zoe')).page.body), [
    'zoë &quot;quoted&quot; &amp; co',
  ])
})

t.test('a rejected connection looks different from an outage', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId, brokerToken } = await connect(broker, app)
  const { page } = await open(broker, '/users')
  t.match(page.body, '>Connected</span>')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 99 })
  broker.clock.advance(2 * 3_600_000)
  await exchange(broker, brokerToken)
  const { admin, page: outage } = await open(broker, '/users')
  t.match(outage.body, 'Waiting for Ellipsis Drive')
  t.match(outage.body, 'Connections are not lost')
  const user = await admin.open(`${broker.url}/admin/users/${connectionId}`)
  t.match(user.body, 'it answers with status 503')
  const refreshed = await admin.press(user, 'Refresh now')
  t.match(refreshed.body, 'The connection is not lost. Try again')
})

t.test('the page of a user shows apps, devices and events', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, {
    redirectUris: ['https://app.example.com/return', 'https://x.example/'],
  })
  const { connectionId } = await connect(broker, app)
  const { admin, page } = await open(broker, `/users/${connectionId}`)
  t.match(page.body, '<bdi>amelie</bdi>')
  t.match(page.body, 'Firefox on Linux')
  t.match(page.body, /Connected to .?Test map.?, on Firefox on Linux/)
  t.match(page.body, /Test map.? was authorized/)
  t.match(page.body, `/connect/${app.id}?connection=${connectionId}&amp;redirect_uri=`)

  const refreshed = await admin.press(page, 'Refresh now')
  t.match(refreshed.body, 'Refreshed. The new access token is valid until')
  t.match(refreshed.body, 'admin@example.com')
  const again = await admin.press(refreshed, 'Refresh now')
  t.match(again.body, 'a moment ago. Try again in')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 99 })
  broker.clock.advance(60_000)
  const refused = await admin.press(again, 'Refresh now')
  t.match(refused.body, 'The user has to reconnect')
  t.match(refused.body, 'Needs reconnecting')
  t.equal((await admin.open(`${broker.url}/admin/users/con_none`)).status, 404)
  const nowhere = await admin.open(`${broker.url}/admin/users/${connectionId}/devices/x/revoke`)
  t.equal(nowhere.status, 404)
})

t.test('events are paged', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const at = broker.clock.now() + 1000
  const event = { at, actor: 'cli', action: 'connection.recovered', connectionId }
  await broker.services.store.addEvents(Array.from({ length: 60 }, () => event))
  const { admin, page } = await open(broker, `/users/${connectionId}`)
  t.equal(page.body.split('Command line').length - 1, 50)
  const older = await admin.open(broker.url + link(page.body, 'Next page'))
  t.equal(older.body.split('Command line').length - 1, 10)
})

t.test(
  'a device, an app and everything can be revoked, and each confirmation explains the effect',
  async (t) => {
    const broker = await buildBroker(t)
    const [app, other] = [await addApp(broker), await addApp(broker, { name: 'Other map' })]
    const one = await connect(broker, app)
    const two = await connect(broker, app)
    const three = await connect(broker, other)
    const { admin, page } = await open(broker, `/users/${one.connectionId}`)
    const ask = (path: string) =>
      admin.open(`${broker.url}/admin/users/${one.connectionId}${path}/revoke`)

    const device = await ask(`/devices/${one.grantId}`)
    t.match(device.body, /Revoke .?Firefox on Linux.? of .?amelie.?\?/)
    t.match(device.body, /already issued work until \d+ \w+ \d{4}, \d\d:\d\d UTC at the latest/)
    t.match(device.body, 'Ellipsis Drive cannot revoke them')
    t.equal(
      (await exchange(broker, one.brokerToken)).status,
      200,
      'the confirmation page changes nothing',
    )
    t.match(
      (await admin.press(device, 'Revoke device')).body,
      /Revoked .*Firefox on Linux.? for .?Test map/,
    )
    t.match((await admin.press(device, 'Revoke device')).body, 'was already revoked')
    t.equal((await exchange(broker, one.brokerToken)).status, 401)
    t.equal((await exchange(broker, two.brokerToken)).status, 200)

    const whole = await ask(`/apps/${app.id}`)
    t.match(whole.body, 'for this user, on 1 device')
    t.match((await admin.press(whole, 'Revoke app')).body, /Revoked .?Test map.? on 1 device\./)
    t.equal((await exchange(broker, two.brokerToken)).status, 401)
    t.equal((await exchange(broker, three.brokerToken)).status, 200)

    const everything = await ask('')
    t.match(everything.body, '1 device loses access')
    const done = await admin.press(everything, 'Revoke everything')
    t.match(done.body, 'Revoked everything, on 1 device. Access tokens already issued work until')
    t.equal((await exchange(broker, three.brokerToken)).status, 401)
    t.match(done.body, '>Revoked</span>')
    t.notMatch(done.body, 'Refresh now')
    t.ok(page)
    const { rows: events } = await broker.services.store.listEvents({
      filter: { connectionId: one.connectionId },
      limit: 3,
    })
    t.match(events, [
      { action: 'connection.revoked', actor: 'admin:admin@example.com', address: '127.0.0.1' },
      { action: 'app.grants_revoked', actor: 'admin:admin@example.com', address: '127.0.0.1' },
      { action: 'grant.revoked', actor: 'admin:admin@example.com', address: '127.0.0.1' },
    ])
    broker.clock.advance(2 * 3_600_000)
    const { page: late } = await open(broker, `/users/${one.connectionId}/revoke`)
    t.match(late.body, 'No valid access token exists')
  },
)

t.test('erasing a user deletes the personal data', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId, brokerToken } = await connect(broker, await addApp(broker))
  const { admin } = await open(broker, '/users')
  const confirmation = await admin.open(`${broker.url}/admin/users/${connectionId}/erase`)
  t.match(confirmation.body, 'What is kept')
  const done = await admin.press(confirmation, 'Revoke and erase')
  t.match(done.body, 'no data here identifies this user')
  t.match(done.body, 'Erased user')
  t.notMatch(done.body, 'amelie')
  t.notMatch(done.body, 'Firefox on Linux')
  t.notMatch(done.body, 'Erase user')
  t.equal((await exchange(broker, brokerToken)).status, 401)
  const { connection, grants, events } = await broker.services.connections.show(connectionId)
  t.match(connection, { accountId: null, username: '', status: 'revoked', personErasedAt: Number })
  t.match(grants, [{ device: '' }])
  for (const event of events.filter(({ actor }) => actor === 'user' || actor === 'app')) {
    t.match(event, { address: null, details: null })
  }
  t.match(
    (await admin.open(`${broker.url}/admin/users?q=amelie&status=all`)).body,
    'No users match these filters',
  )
  const list = await admin.open(`${broker.url}/admin/users?status=all`)
  t.match(list.body, connectionId)
})

t.test('a reconnect link also works for a healthy connection', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const { page } = await open(broker, `/users/${connectionId}`)
  const address =
    /value="([^"]*\/connect\/[^"]*)"/.exec(page.body)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const visitor = new Visitor()
  const consent = await visitor.open(address)
  const signInPage = await visitor.press(consent, 'Continue to Ellipsis Drive')
  t.match((await allow(visitor, signInPage, 'amelie')).body, 'You are connected')
  const { events } = await broker.services.connections.show(connectionId)
  t.equal(events[0]?.action, 'connection.renewed')
})

t.test('a viewer sees a user but no actions', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId, brokerToken } = await connect(broker, await addApp(broker))
  const viewer = await signIn(broker, { role: 'viewer' })
  const page = await viewer.open(`${broker.url}/admin/users/${connectionId}`)
  t.equal(page.status, 200)
  for (const label of ['Refresh now', 'Revoke', 'Erase user']) t.notMatch(page.body, label)
  const confirmation = await viewer.open(`${broker.url}/admin/users/${connectionId}/revoke`)
  t.notMatch(confirmation.body, '<button class="danger"')
  t.equal((await exchange(broker, brokerToken)).status, 200)
})
