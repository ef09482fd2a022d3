import t from 'tap'
import { associatedData } from '../../db/associated-data.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import { addOfflineApp, connectUser } from '../oauth/offline/begin.ts'
import { Visitor } from '../visitor.ts'
import { pathOf, signInAtMe, textOf } from './begin.ts'

t.test('a person sees apps, devices and links, and disconnects each of them', async (t) => {
  const broker = await buildBroker(t)
  const map = await addApp(broker, { name: 'Flood map' })
  const report = await addApp(broker, { name: 'Storm report' })
  const visitor = new Visitor()
  const first = await connect(broker, map, { visitor })
  const second = await connect(broker, report, { visitor })
  const again = await connect(broker, map, { visitor })
  const link = await fetch(`${broker.url}/links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${again.brokerToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ path: '/path/x/raster/timestamp/y/tile/{z}/{x}/{y}', label: 'Dikes' }),
  })
  t.equal(link.status, 201)

  const { page } = await signInAtMe(broker, 'amelie', visitor)
  t.equal(page.url, `${broker.url}/me`)
  t.match(textOf(page), 'Signed in as amelie .')
  t.match(textOf(page), 'Firefox on Linux (this browser)')
  t.match(textOf(page), 'from the IP address 127.0.0.1')
  t.match(textOf(page), 'Not used yet')
  t.match(textOf(page), 'Dikes')
  t.match(textOf(page), 'They end by themselves, the last one')
  t.equal(page.body.match(/\(this browser\)/g)?.length, 2, 'a reconnect is the same device')

  const click = async (label: string, button: string) => {
    const own = await visitor.open(`${broker.url}/me`)
    const question = await visitor.open(broker.url + pathOf(own, label))
    return visitor.press(question, button)
  }
  t.match(textOf(await click('Revoke the link Dikes', 'Revoke')), 'The link is revoked.')
  const linkUrl = ((await link.json()) as { url: string }).url
  t.equal((await fetch(linkUrl)).status, 404)

  t.match(
    textOf(await click('Disconnect Firefox on Linux, Flood map', 'Disconnect')),
    'The device is',
  )
  for (const { brokerToken } of [first, again])
    t.equal((await exchange(broker, brokerToken)).status, 401, 'both grants of the browser')
  t.equal((await exchange(broker, second.brokerToken)).status, 200)

  t.match(textOf(await click('Disconnect Storm report', 'Disconnect')), 'The app is disconnected.')
  t.equal((await exchange(broker, second.brokerToken)).status, 401)
  const left = await visitor.open(`${broker.url}/me`)
  t.match(textOf(left), 'No app uses your Ellipsis Drive through this broker.')

  t.match(textOf(await click('Disconnect everything', 'Disconnect everything')), 'Everything is')
  t.equal(
    (await broker.services.connections.find(first.connectionId))?.connection.status,
    'revoked',
  )
  const { rows } = await broker.services.store.listEvents({ limit: 50 })
  const actions = rows.filter(({ actor }) => actor === 'user').map(({ action }) => action)
  for (const action of [
    'link.revoked',
    'grant.revoked',
    'app.grants_revoked',
    'connection.revoked',
  ])
    t.ok(actions.includes(action), action)
})

t.test('the account id decides, as number or string; a recycled name never', async (t) => {
  let account: object = { id: 4711, username: 'amelie' }
  const fetchAccount: typeof fetch = async (input, init) =>
    new Request(input).url.endsWith('/account') ? Response.json(account) : fetch(input, init)
  const broker = await buildBroker(t, { runtime: { fetch: fetchAccount } })
  await connect(broker, await addApp(broker))
  account = { id: '4711', username: 'renamed' }
  t.match(textOf((await signInAtMe(broker)).page), 'Disconnect Test map')
  for (const other of [4712, '04711', null]) {
    account = { id: other, username: 'amelie' }
    const { page } = await signInAtMe(broker)
    t.match(textOf(page), 'No app uses your Ellipsis Drive')
    t.notMatch(page.body, /Test map|Download/)
  }
})

t.test('the download has everything about the person, without secrets or admins', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId, grantId } = await connect(broker, app)
  const admin = { actor: 'admin:ada@example.com', address: '192.0.2.99' }
  await broker.services.connections.revoke(connectionId, admin)
  const { grantId: newGrant } = await connect(broker, app)
  const { visitor, page } = await signInAtMe(broker)
  const file = await visitor.open(broker.url + pathOf(page, 'Download what is stored (JSON)'))
  t.match(file.headers.get('content-disposition'), 'attachment')
  t.match(file.headers.get('content-type'), 'application/json')
  const data = JSON.parse(file.body) as {
    account: { username: string }
    connections: { id: string; status: string; grants: { id: string }[]; events: object[] }[]
  }
  t.equal(data.account.username, 'amelie')
  t.strictSame(
    data.connections.map(({ status, grants }) => [status, grants.map(({ id }) => id)]),
    [
      ['active', [newGrant]],
      ['revoked', [grantId]],
    ],
  )
  t.match(file.body, '"address": "127.0.0.1"')
  t.match(file.body, '"actor": "admin"')
  t.notMatch(file.body, /ada@|192\.0\.2\.99/)
})

t.test('erasing leaves nothing of the person', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId, brokerToken } = await connect(broker, app)
  const { visitor, page } = await signInAtMe(broker)
  const question = await visitor.open(broker.url + pathOf(page, 'Erase what is stored'))
  t.match(textOf(question), 'This cannot be undone.')
  const done = await visitor.press(question, 'Erase what is stored')
  t.match(textOf(done), 'What was stored about you is erased.')
  t.match(textOf(done), 'No app uses your Ellipsis Drive')
  t.equal((await exchange(broker, brokerToken)).status, 401)
  const details = await broker.services.connections.find(connectionId)
  t.match(details?.connection, { status: 'revoked', accountId: null, username: '' })
  for (const { address } of details?.events ?? []) t.equal(address, null)
})

t.test('a session ends after 15 minutes, or when the person signs out', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { grantId, brokerToken } = await connect(broker, app)
  const { visitor } = await signInAtMe(broker)
  const question = await visitor.open(`${broker.url}/me/devices/${grantId}/disconnect`)
  broker.clock.advance(15 * 60_000)
  const late = await visitor.press(question, 'Disconnect')
  t.match(textOf(late), 'Your session had ended, so nothing was changed.')
  t.match(textOf(late), 'Continue to Ellipsis Drive')
  t.equal((await exchange(broker, brokerToken)).status, 200)

  const again = await signInAtMe(broker, 'amelie', visitor)
  const copied = visitor.cookies(broker.url).get('me') ?? ''
  const out = await visitor.press(again.page, 'Sign out')
  t.match(textOf(out), 'You are signed out here.')
  t.notOk(visitor.cookies(broker.url).get('me'))
  const thief = await fetch(`${broker.url}/me`, { headers: { cookie: `me=${copied}` } })
  t.match(await thief.text(), 'Continue to Ellipsis Drive', 'a copied cookie has ended, too')
})

t.test('refusing, errors and repeated callbacks end at a page that says so', async (t) => {
  const broker = await buildBroker(t)
  const visitor = new Visitor()
  const start = await visitor.open(`${broker.url}/me`)
  const login = await visitor.press(start, 'Continue to Ellipsis Drive')
  const consent = await allowLogin(visitor, login)
  const refused = await visitor.press(consent, 'Refuse')
  t.match(textOf(refused), 'You denied access')

  const upstream = await visitor.press(refused, 'Continue to Ellipsis Drive')
  const returned = await visitor.press(upstream, 'Allow', {}, `${broker.url}/callback`)
  const stranger = await new Visitor().open(returned.url)
  t.match(textOf(stranger), 'was started in another browser')
  const wrong = returned.url.replace(/code=[^&]+/, 'code=wrong')
  t.match(textOf(await visitor.open(wrong)), 'The sign-in was not completed.')

  const second = await visitor.press(
    await visitor.open(`${broker.url}/me`),
    'Continue to Ellipsis Drive',
    {},
    `${broker.url}/callback`,
  )
  t.match(textOf(await visitor.open(second.url)), 'Signed in as amelie')
  t.match(textOf(await visitor.open(second.url)), 'Signed in as amelie', 'repeated')
})

const allowLogin = async (visitor: Visitor, page: Awaited<ReturnType<Visitor['open']>>) => {
  const login = /name="user" value="amelie"[^>]*>([^<]*)</.exec(page.body)?.[1] ?? ''
  return visitor.press(page, login.trim())
}

t.test('a form of another site or browser changes nothing', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const { visitor } = await signInAtMe(broker)
  const question = await visitor.open(`${broker.url}/me/disconnect`)
  const expired = await visitor.press(question, 'Disconnect everything', { _csrf: 'x' })
  t.match(textOf(expired), 'This form had expired')
  const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  const foreign = await fetch(`${broker.url}/me/disconnect`, {
    method: 'POST',
    headers: { cookie, origin: 'https://evil.example' },
    body: new URLSearchParams(),
  })
  t.equal(foreign.status, 403)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('an offline app is marked, and a connection to reconnect says how', async (t) => {
  const broker = await buildBroker(t)
  const { services, standIn } = broker
  const job = await addOfflineApp(broker, { name: 'Nightly job' })
  const { connectionId: id } = await connectUser(broker, job)
  const { page, visitor } = await signInAtMe(broker)
  t.match(textOf(page), 'Runs without you:')
  t.notMatch(page.body, 'Reconnect')

  const { refreshToken } = (await services.store.getConnection(id)) ?? {}
  const sealed = refreshToken ?? new Uint8Array()
  standIn.refreshTokens.revoke(
    services.vault.open(associatedData.refreshToken(id), sealed).reveal(),
  )
  await services.connections.refresh(id, 'cli').catch(() => undefined)
  broker.clock.advance(15 * 60_000)
  const again = await signInAtMe(broker, 'amelie', visitor)
  t.match(textOf(again.page), 'Signing in here does not change that')
  t.equal((await services.store.getConnection(id))?.status, 'needs_reconnect')
  const link = `${broker.url}/connect/${job.app.id}?connection=${id}`
  t.equal(pathOf(again.page, 'Reconnect Nightly job'), link)
})

t.test(
  '/me works under a base path, and its cookie cannot be used for anything else',
  async (t) => {
    const broker = await buildBroker(t, { basePath: '/broker' })
    await connect(broker, await addApp(broker))
    const { origin } = new URL(broker.url)
    const { page, visitor } = await signInAtMe(broker)
    const question = await visitor.open(origin + pathOf(page, 'Disconnect Test map'))
    const done = await visitor.press(question, 'Disconnect')
    t.equal(done.url, `${broker.url}/me`)
    t.match(textOf(done), 'The app is disconnected.')
    const cookies = visitor.cookies(origin)
    const [name = '', flow = ''] = [...cookies].find(([name]) => name.startsWith('flow-')) ?? []
    for (const value of [flow, name, `${cookies.get('me')}x`, 'x', ''])
      t.match(
        await (await fetch(`${broker.url}/me`, { headers: { cookie: `me=${value}` } })).text(),
        'Continue to Ellipsis Drive',
      )
  },
)
