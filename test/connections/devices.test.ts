import t from 'tap'
import { signIn } from '../admin.ts'
import { command } from '../command.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

/** Rows of the tables of devices on the page of a user. */
const rowsOf = (body: string, label: string): number =>
  [...body.matchAll(/<table[^>]*>.*?<\/table>/gs)]
    .filter(([table]) => table.includes(label))
    .flatMap(([table]) => [...table.matchAll(/<th scope="row"/g)]).length

async function userPage(broker: TestBroker, connectionId: string) {
  const admin = await signIn(broker)
  const page = await admin.open(`${broker.url}/admin/users/${connectionId}`)
  return { admin, page }
}

t.test(
  'a browser that connects again is one device, and its earlier tokens stay valid',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const visitor = new Visitor()
    const tokens: string[] = []
    let connectionId = ''
    for (let time = 0; time < 12; time++) {
      const connected = await connect(broker, app, { visitor })
      tokens.push(connected.brokerToken)
      connectionId = connected.connectionId
      broker.clock.advance(1000)
    }
    const elsewhere = await connect(broker, app)
    const { page, admin } = await userPage(broker, connectionId)
    t.equal(rowsOf(page.body, 'Devices'), 2)
    t.match(await command(['connection', 'show', connectionId], broker.env), {
      stdout: /Devices\n[^\n]*\n[^\n]*active\n[^\n]*active\n\n/,
    })
    for (const token of tokens) t.equal((await exchange(broker, token)).status, 200, 'another tab')

    const everything = await admin.open(`${broker.url}/admin/users/${connectionId}/revoke`)
    t.match(everything.body, '2 devices lose access')
    const newest = (await broker.services.store.listGrants(connectionId)).find(
      ({ jti }) => jti === claimsOf(tokens.at(-1)).jti,
    )
    const path = `/admin/users/${connectionId}/devices/${newest?.id}/revoke`
    await admin.press(await admin.open(broker.url + path), 'Revoke device')
    for (const token of tokens) t.equal((await exchange(broker, token)).status, 401, 'signed out')
    t.equal((await exchange(broker, elsewhere.brokerToken)).status, 200, 'another browser stays')

    const again = await connect(broker, app, { visitor })
    t.equal((await exchange(broker, again.brokerToken)).status, 200)
    const after = await admin.open(`${broker.url}/admin/users/${connectionId}`)
    t.equal(rowsOf(after.body, 'Devices'), 2, 'the revoked device is active again')
  },
)

const claimsOf = (token = ''): Record<string, string> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    string
  >

t.test('the store doesn’t show which accounts and apps share a browser', async (t) => {
  const broker = await buildBroker(t)
  const [app, other] = [await addApp(broker), await addApp(broker, { name: 'Other' })]
  const visitor = new Visitor()
  const first = await connect(broker, app, { visitor })
  await connect(broker, other, { visitor })
  const { origin } = new URL(broker.url)
  const cookie = visitor.cookies(origin).get('browser') ?? ''
  t.match(cookie, /^[\w-]{43}$/)
  const { store, connections } = broker.services
  const grants = await store.listGrants(first.connectionId)
  t.equal(new Set(grants.map(({ browserHash }) => browserHash)).size, 2)
  t.notOk(JSON.stringify(grants).includes(cookie))

  await connections.erase(first.connectionId, 'test')
  const erased = await store.listGrants(first.connectionId)
  t.ok(erased.every(({ browserHash }) => browserHash === null))
})

t.test('a value that the broker has not set is replaced', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  await connect(broker, app, { visitor })
  const jar = visitor.cookies(new URL(broker.url).origin)
  const former = jar.get('browser')
  jar.set('browser', 'x')
  await connect(broker, app, { visitor })
  t.match(jar.get('browser'), /^[\w-]{43}$/)
  t.not(jar.get('browser'), former)
})
