import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { fold } from '../../db/fold.ts'
import { allowDevice } from '../oauth/device/begin.ts'
import { addApp, authorize, buildBroker, connect, exchange, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

const ANN = { actor: 'admin:ann@example.com', address: '192.0.2.7' }
const PROXY = { env: { BROKER_TRUST_PROXY: '127.0.0.1' } }

/** A visitor whose requests come through a proxy. */
class DistantVisitor extends Visitor {
  address = '203.0.113.71'

  override open(url: string, stopAt?: string, init: RequestInit = {}) {
    const headers = new Headers(init.headers)
    headers.set('x-forwarded-for', this.address)
    return super.open(url, stopAt, { ...init, headers })
  }
}

/** Every text of every table, as `table: text`. */
function textsOf({ dataDir }: TestBroker): string[] {
  const client = new Database(join(dataDir, 'broker.db'), { readonly: true })
  const tables = client
    .prepare<[], string>(`select name from sqlite_schema where type = 'table'`)
    .pluck()
    .all()
  const texts = tables.flatMap((table) =>
    client
      .prepare<[], unknown[]>(`select * from "${table}"`)
      .raw()
      .all()
      .flat()
      .filter((value) => typeof value === 'string')
      .map((text) => `${table}: ${text}`),
  )
  client.close()
  return texts
}

/** Which of these values are in a table, or in the bytes of a file of the database. */
function findTraces(broker: TestBroker, values: string[]): string[] {
  const texts = textsOf(broker)
  const files = readdirSync(broker.dataDir)
    .filter((name) => name.startsWith('broker.db'))
    .map((name) => ({ name, bytes: readFileSync(join(broker.dataDir, name)) }))
  return values.flatMap((value) => [
    ...texts.filter((text) => text.toLowerCase().includes(value.toLowerCase())),
    ...files.filter(({ bytes }) => bytes.includes(value)).map(({ name }) => `${name}: ${value}`),
  ])
}

t.test('erasing a person leaves none of their values in a table or a file', async (t) => {
  const broker = await buildBroker(t, PROXY)
  const { services, standIn } = broker
  const { store, connections, bulks } = services
  const person = standIn.users.add('Zdeněk.Qwyx@person.example')
  const values = [
    ...[person.username, fold(person.username), person.id],
    ...['203.0.113.71', '203.0.113.72', '203.0.113.73', '203.0.113.74', '203.0.113.75'],
    ...['Qwyxtool', 'zdenek.qwyx', 'unusual failure qwyx'],
  ]
  const app = await addApp(broker)
  const from = (address: string) => ({ 'x-forwarded-for': address })

  // A first connection, which ended.
  const visitor = new DistantVisitor()
  const former = await connect(broker, app, { user: person.username, visitor })
  await connections.revoke(former.connectionId, ANN)

  // Codes: one redeemed and copied, one device flow by a program with a name of its own.
  const { returned, verifier } = await authorize(broker, app, { user: person.username, visitor })
  const code = { grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier }
  const redeem = (address: string) =>
    postForm(
      `${broker.url}/oauth/token`,
      { ...code, code: returned.searchParams.get('code') ?? '' },
      from(address),
    )
  const { body } = await redeem('203.0.113.72')
  await exchange(broker, String(body.access_token))
  await redeem('203.0.113.73')
  const tv = await addApp(broker, { device: true, redirectUris: [] })
  const device = await postForm(
    `${broker.url}/oauth/device_authorization`,
    { client_id: tv.id },
    { ...from('203.0.113.74'), 'user-agent': 'Qwyxtool/1.0' },
  )
  await allowDevice(broker, device.body.user_code, person.username, visitor)
  const deviceToken = await postForm(
    `${broker.url}/oauth/token`,
    {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      client_id: tv.id,
      device_code: String(device.body.device_code),
    },
    from('203.0.113.75'),
  )
  t.equal(deviceToken.status, 200)

  // What the broker and admins wrote about them.
  const { rows } = await connections.browse({
    ...{ search: 'zdenek.qwyx', statuses: ['active'], appId: null },
    ...{ sort: 'user', descending: false, limit: 5, cursor: null },
  })
  const id = rows[0]?.id ?? ''
  await store.addEvents([
    {
      ...{ at: broker.clock.now(), actor: 'system', action: 'connection.needs_reconnect' },
      ...{ connectionId: id, details: 'unusual failure qwyx', address: '203.0.113.71' },
    },
    {
      ...{ at: broker.clock.now(), actor: 'app', action: 'grant.revoked', address: '203.0.113.73' },
      grantId: (await store.listGrants(id))[0]?.id ?? '',
    },
  ])
  for (const search of [person.username, 'ZDENEK', person.id, `x ${person.username}`]) {
    const filter = { search, statuses: ['active' as const], appId: null }
    await bulks.begin(filter, ANN)
  }
  const others = await bulks.begin({ search: 'amelie', statuses: ['active'], appId: null }, ANN)

  const before = findTraces(broker, values)
  for (const value of values) {
    t.ok(
      before.some((trace) => trace.toLowerCase().includes(value.toLowerCase())),
      `${value} went in`,
    )
  }
  t.match(await connections.erase(id, ANN), { erased: true })
  t.strictSame(findTraces(broker, values), [])
  t.ok(
    textsOf(broker).some((text) => text === `events: ${ANN.address}`),
    'what admins did, and from where, stays',
  )
  t.equal((await bulks.find(others))?.bulk.filter?.search, 'amelie')
})
