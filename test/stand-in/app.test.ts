import t from 'tap'
import { buildStandIn, startStandIn, switchSchema } from '../../server/stand-in/app.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'
import {
  accessToken,
  authorizeUrl,
  client,
  get,
  LOG_IN,
  redeem,
  refresh,
  RETURN,
  start,
} from './helper.ts'

t.test('it says what it is, to people and to programs', async (t) => {
  const running = await start(t)
  const { body } = await get(running.url)
  t.match(body, {
    message: /not Ellipsis Drive/,
    users: [{ username: 'amelie' }, { username: 'bo' }],
    clients: [{ id: client.id, redirect_uris: [RETURN] }],
    switches: { rotation: 'never' },
  })
  const page = await get(running.url, { accept: 'text/html,*/*' })
  t.match(page.headers.get('content-type'), 'text/html')
  for (const text of [
    running.apiUrl,
    'Amelie Laurent',
    'not Ellipsis Drive',
    'Nobody is logged in',
  ]) {
    t.match(page.text, text)
  }
  for (const name of Object.keys(switchSchema.properties)) t.match(page.text, `${name}: `)
  for (const text of [page.text, JSON.stringify(body)]) t.notMatch(text, client.secret)
  t.equal((await get(`${running.url}/nowhere`)).status, 404)
})

t.test('it says who is logged in, and logs out', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), RETURN)
  await visitor.press(login, LOG_IN.bo, {}, RETURN)
  const home = await visitor.open(running.url)
  t.match(home.body, 'You are logged in as Bo Lindqvist (bo).')
  const after = await visitor.press(home, 'Log out')
  t.match(after.body, 'Nobody is logged in')
})

t.test('redirect URIs: URLs of 100 characters at most', async (t) => {
  const build = (uri: string) => () =>
    buildStandIn({ clients: [{ ...client, redirectUris: [uri] }] }).standIn
  const fits = `https://example.com/${'x'.repeat(80)}`
  t.equal(fits.length, 100)
  t.doesNotThrow(build(fits))
  t.throws(build(`${fits}x`), { message: /longer than 100/ })
  t.throws(build('nonsense'), { message: /not a URL/ })
})

t.test('it starts on its own clock and numbers, also at an IPv6 address', async (t) => {
  const running = await startStandIn({ clients: [client], port: 0, host: '::1' })
  t.teardown(() => running.close())
  t.match(running.url, /^http:\/\/\[::1\]:\d+$/)
  t.equal((await get(running.url)).status, 200)
})

t.test('no secret is in its log', async (t) => {
  const logged: string[] = []
  const stream = { write: (line: string) => logged.push(line) }
  const running = await start(t, { logger: { level: 'trace', stream } })
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), RETURN)
  const consent = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  const back = await visitor.press(consent, 'Allow', {}, RETURN)
  await redeem(running, new URL(back.url).searchParams.get('code') ?? '')
  await get(`${running.apiUrl}/account?token=${await accessToken(running)}`)
  running.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant' })
  await refresh(running, running.standIn.grant('amelie'))
  const text = logged.join('')
  t.match(text, '/v3/account')
  t.match(text, 'a fault strikes')
  const secrets = [
    ...running.standIn.issued(),
    client.secret,
    ...visitor.cookies(running.url).values(),
  ]
  t.ok(secrets.length >= 7)
  t.notOk(secrets.some((secret) => text.includes(secret)))
})

t.test('its own mistakes are logged and not told', async (t) => {
  const logged: string[] = []
  const stream = { write: (line: string) => logged.push(line) }
  const running = await start(t, {
    logger: { level: 'error', stream },
    clients: [client],
    random: () => {
      throw new Error('out of numbers')
    },
  })
  for (const endpoint of ['account', 'refresh', 'authorize'] as const) {
    running.standIn.addFault({ endpoint, kind: 'hang', share: 0.5 })
  }
  const answers = [
    await get(`${running.apiUrl}/account`),
    await refresh(running, 'x'),
    await get(authorizeUrl(running)),
  ]
  for (const { status, body } of answers) {
    t.equal(status, 500)
    t.strictSame(body, { message: 'Something went wrong.' })
  }
  t.equal(logged.filter((line) => line.includes('out of numbers')).length, 3)
})

t.test('it remembers the last 100,000 values that it handed out', async (t) => {
  const { standIn } = buildStandIn({ clients: [client] })
  const first = standIn.grant('amelie')
  t.ok(standIn.issued().includes(first))
  for (let count = 0; count < 100_000; count++) standIn.grant('amelie')
  const issued = standIn.issued()
  t.notOk(issued.includes(first))
  t.ok(issued.length >= 75_000 && issued.length <= 100_000)
})

t.test('without a client there is nobody to grant to', async (t) => {
  const { standIn } = buildStandIn({ clients: [] })
  t.throws(() => standIn.grant('amelie'), { message: /no client/ })
  t.ok(standIn.honours(standIn.grant('amelie', 'some-client')))
})

const CHAINS = size(4, 20)

t.test(`${50 * CHAINS} refreshes, ${CHAINS} at a time`, async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const begin = performance.now()
  const chains = Array.from({ length: CHAINS }, async (_, index) => {
    let token = running.standIn.grant(`user-${index}`)
    for (let count = 0; count < 50; count++) {
      token = (await refresh(running, token)).body.refresh_token
    }
    return running.standIn.honours(token)
  })
  t.ok((await Promise.all(chains)).every(Boolean))
  t.equal(running.standIn.calls.refresh, 50 * CHAINS)
  t.comment(`${((50_000 * CHAINS) / (performance.now() - begin)).toFixed(0)} a second`)
})
