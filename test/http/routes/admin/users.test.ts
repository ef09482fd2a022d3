import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, allow, buildBroker, connect, exchange } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { fillBroker } from '../../../sample-data.ts'
import { Visitor } from '../../../visitor.ts'

/** The names of a list's rows, in their order. */
const names = (body: string): string[] =>
  [...body.matchAll(/<a class="name" href="[^"]*"><bdi>(.*?)<\/bdi>/gs)].map(
    ([, name = '']) => name,
  )

const link = (body: string, words: string): string => {
  const found = [...body.matchAll(/<a [^>]*href="([^"]*)"[^>]*>(.*?)<\/a>/gs)].find(
    ([, , text = '']) => text.replace(/<[^>]*>|[←→]/g, '').trim() === words,
  )
  if (!found) throw new Error(`no link "${words}" in:\n${body}`)
  return (found[1] ?? '').replaceAll('&amp;', '&')
}

async function open(broker: TestBroker, path: string) {
  const admin = await signIn(broker)
  return { admin, page: await admin.open(`${broker.url}/admin${path}`) }
}

t.test('where nobody is connected, it says what to do next', async (t) => {
  const broker = await buildBroker(t)
  const { admin, page } = await open(broker, '/users')
  t.match(page.body, 'Nobody is connected yet')
  t.match(page.body, 'Register an app')
  await addApp(broker)
  const again = await admin.open(`${broker.url}/admin/users`)
  t.match(again.body, 'To the apps, and their connect links')
})

t.test('the list is searched, filtered, sorted, and leafed through', async (t) => {
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
  t.equal(names(found.body)[0], 'person1', 'by name, where one searches')
  const searched = await admin.press(page, 'Search', { q: 'PERSON1' })
  t.equal(names(searched.body)[0], 'person1', 'by the form, too')
  const other = await admin.open(broker.url + link(found.body, 'User'))
  t.equal(names(other.body)[0], 'person19')
  t.match(other.body, 'aria-sort="descending"')
  const kept = await admin.press(other, 'Search', { q: 'person1' })
  t.match(kept.body, 'aria-sort="descending"', 'an order that was chosen is kept')
  t.match((await get('q=person5')).body, /1 user\s+matches\./)
  t.strictSame(names((await get(`q=${data.troubledId}`)).body), ['bo.lindqvist'])
  t.match((await get('q=nobody')).body, 'Nobody matches')

  t.strictSame(names((await get('status=needs_reconnect')).body), ['bo.lindqvist'])
  t.strictSame(names((await get('status=revoked')).body).length, 2)
  t.equal(names((await get(`app=${data.oddAppId}&status=all`)).body).length, 10)
  t.equal(names((await get('app=app_none')).body).length, 0)
  t.equal(names((await get('status=x&sort=x&order=x&from=x&app[]=x')).body).length, 25)
  t.match(names((await get('sort=used')).body)[0], 'amelie')
})

t.test('names are shown, never obeyed', async (t) => {
  const broker = await buildBroker(t)
  await fillBroker(broker)
  const { page } = await open(broker, '/users?q=script')
  t.match(page.body, '&lt;script&gt;alert(1)')
  t.notMatch(page.body, '<script>alert')
  t.match(names((await open(broker, '/users?q=zoe')).page.body), [
    'zoë &quot;quoted&quot; &amp; co',
  ])
})

t.test('a dead connection is told apart from an outage upstream', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId, brokerToken } = await connect(broker, app)
  const { page } = await open(broker, '/users')
  t.match(page.body, '>Connected</span>')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 99 })
  broker.clock.advance(2 * 3_600_000)
  await exchange(broker, brokerToken)
  const { admin, page: away } = await open(broker, '/users')
  t.match(away.body, 'Waiting for Ellipsis Drive')
  t.match(away.body, 'The connections aren’t dead')
  const user = await admin.open(`${broker.url}/admin/users/${connectionId}`)
  t.match(user.body, 'it answers with status 503')
  const asked = await admin.press(user, 'Refresh now')
  t.match(asked.body, 'The connection isn’t dead: try again')
})

t.test('a user’s page tells what there is and what happened', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, {
    redirectUris: ['https://app.example.com/return', 'https://x.example/'],
  })
  const { connectionId } = await connect(broker, app)
  const { admin, page } = await open(broker, `/users/${connectionId}`)
  t.match(page.body, '<bdi>amelie</bdi>')
  t.match(page.body, 'Firefox on Linux')
  t.match(page.body, /Connected for .?Test map.?, on Firefox on Linux/)
  t.match(page.body, /Test map.? was let in/)
  t.match(page.body, `/connect/${app.id}?connection=${connectionId}&amp;redirect_uri=`)

  const refreshed = await admin.press(page, 'Refresh now')
  t.match(refreshed.body, 'Fetched a fresh access token, good until')
  t.match(refreshed.body, 'admin@example.com')
  const again = await admin.press(refreshed, 'Refresh now')
  t.match(again.body, 'a moment ago; try again in')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 99 })
  broker.clock.advance(60_000)
  const refused = await admin.press(again, 'Refresh now')
  t.match(refused.body, 'the user has to connect again')
  t.match(refused.body, 'Needs reconnecting')
  t.equal((await admin.open(`${broker.url}/admin/users/con_none`)).status, 404)
  const nowhere = await admin.open(`${broker.url}/admin/users/${connectionId}/devices/x/revoke`)
  t.equal(nowhere.status, 404)
})

t.test('of many events a page shows some, and leads to the older', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const at = broker.clock.now() + 1000
  const event = { at, actor: 'cli', action: 'connection.recovered', connectionId }
  await broker.services.store.addEvents(Array.from({ length: 60 }, () => event))
  const { admin, page } = await open(broker, `/users/${connectionId}`)
  t.equal(page.body.split('An operator').length - 1, 50)
  const older = await admin.open(broker.url + link(page.body, 'Next page'))
  t.equal(older.body.split('An operator').length - 1, 10)
})

t.test(
  'a device, an app, and everything are revoked, and the page says what that does',
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
    t.match(device.body, /go on working until \d+ \w+ \d{4}, \d\d:\d\d UTC at the latest/)
    t.match(device.body, 'Ellipsis Drive has no way to take them back')
    t.equal((await exchange(broker, one.brokerToken)).status, 200, 'asking changes nothing')
    t.match((await admin.press(device, 'Revoke this device')).body, /is cut off from .?Test map/)
    t.match((await admin.press(device, 'Revoke this device')).body, 'was cut off before')
    t.equal((await exchange(broker, one.brokerToken)).status, 401)
    t.equal((await exchange(broker, two.brokerToken)).status, 200)

    const whole = await ask(`/apps/${app.id}`)
    t.match(whole.body, 'on its one device')
    t.match(
      (await admin.press(whole, 'Revoke this app')).body,
      /Test map.? is cut off, on 1 device\./,
    )
    t.equal((await exchange(broker, two.brokerToken)).status, 401)
    t.equal((await exchange(broker, three.brokerToken)).status, 200)

    const everything = await ask('')
    t.match(everything.body, '1 device is cut off')
    const done = await admin.press(everything, 'Revoke everything')
    t.match(done.body, 'Revoked, with 1 device. Access tokens that are out work until')
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
    t.match(late.body, 'No access token is out')
  },
)

t.test('a person is erased: nothing tells any more who it was', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId, brokerToken } = await connect(broker, await addApp(broker))
  const { admin } = await open(broker, '/users')
  const asked = await admin.open(`${broker.url}/admin/users/${connectionId}/erase`)
  t.match(asked.body, 'What is kept')
  const done = await admin.press(asked, 'Revoke and erase')
  t.match(done.body, 'nothing here tells any more who this was')
  t.match(done.body, 'Erased person')
  t.notMatch(done.body, 'amelie')
  t.notMatch(done.body, 'Firefox on Linux')
  t.notMatch(done.body, 'Erase this person')
  t.equal((await exchange(broker, brokerToken)).status, 401)
  const { connection, grants, events } = await broker.services.connections.show(connectionId)
  t.match(connection, { accountId: null, username: '', status: 'revoked', personErasedAt: Number })
  t.match(grants, [{ device: '' }])
  for (const event of events.filter(({ actor }) => actor === 'user' || actor === 'app')) {
    t.match(event, { address: null, details: null })
  }
  t.match(
    (await admin.open(`${broker.url}/admin/users?q=amelie&status=all`)).body,
    'Nobody matches',
  )
  const list = await admin.open(`${broker.url}/admin/users?status=all`)
  t.match(list.body, connectionId)
})

t.test('a reconnect link leads back to a connection that is well', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const { page } = await open(broker, `/users/${connectionId}`)
  const address =
    /value="([^"]*\/connect\/[^"]*)"/.exec(page.body)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const visitor = new Visitor()
  const asked = await visitor.open(address)
  const answered = await visitor.press(asked, 'Continue to Ellipsis Drive')
  t.match((await allow(visitor, answered, 'amelie')).body, 'You are connected')
  const { events } = await broker.services.connections.show(connectionId)
  t.equal(events[0]?.action, 'connection.renewed')
})

t.test('a viewer looks, and sees no actions', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId, brokerToken } = await connect(broker, await addApp(broker))
  const viewer = await signIn(broker, { role: 'viewer' })
  const page = await viewer.open(`${broker.url}/admin/users/${connectionId}`)
  t.equal(page.status, 200)
  for (const words of ['Refresh now', 'Revoke', 'Erase this']) t.notMatch(page.body, words)
  const asked = await viewer.open(`${broker.url}/admin/users/${connectionId}/revoke`)
  t.notMatch(asked.body, '<button class="danger"')
  t.equal((await exchange(broker, brokerToken)).status, 200)
})
