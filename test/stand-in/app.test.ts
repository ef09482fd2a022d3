import t from 'tap'
import { buildStandIn, startStandIn, switchSchema } from '../../server/stand-in/app.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'
import {
  accessToken,
  authorizeUrl,
  client,
  get,
  LOGIN_BUTTONS,
  redeem,
  refresh,
  REDIRECT_URI,
  start,
} from './helper.ts'

t.test('the home page describes the stand-in in HTML and JSON', async (t) => {
  const running = await start(t)
  const { body } = await get(running.url)
  t.match(body, {
    message: /not Ellipsis Drive/,
    users: [{ username: 'amelie' }, { username: 'bo' }],
    clients: [{ id: client.id, redirect_uris: [REDIRECT_URI] }],
    switches: { rotation: 'never' },
  })
  const page = await get(running.url, { accept: 'text/html,*/*' })
  t.match(page.headers.get('content-type'), 'text/html')
  for (const text of [
    running.apiUrl,
    'Amelie Laurent',
    'not Ellipsis Drive',
    'No user is logged in',
  ]) {
    t.match(page.text, text)
  }
  for (const name of Object.keys(switchSchema.properties)) t.match(page.text, `${name}: `)
  for (const text of [page.text, JSON.stringify(body)]) t.notMatch(text, client.secret)
  t.equal((await get(`${running.url}/nowhere`)).status, 404)
})

t.test('the home page shows the logged-in user and logs out', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  await visitor.press(login, LOGIN_BUTTONS.bo, {}, REDIRECT_URI)
  const home = await visitor.open(running.url)
  t.match(home.body, 'You are logged in as Bo Lindqvist (bo).')
  const after = await visitor.press(home, 'Log out')
  t.match(after.body, 'No user is logged in')
})

t.test('redirect URIs must be URLs of at most 100 characters', async (t) => {
  const build = (uri: string) => () =>
    buildStandIn({ clients: [{ ...client, redirectUris: [uri] }] }).standIn
  const fits = `https://example.com/${'x'.repeat(80)}`
  t.equal(fits.length, 100)
  t.doesNotThrow(build(fits))
  t.throws(build(`${fits}x`), { message: /longer than 100/ })
  t.throws(build('nonsense'), { message: /not a URL/ })
})

t.test('it starts with the default clock and randomness, and on an IPv6 address', async (t) => {
  const running = await startStandIn({ clients: [client], port: 0, host: '::1' })
  t.teardown(() => running.close())
  t.match(running.url, /^http:\/\/\[::1\]:\d+$/)
  t.equal((await get(running.url)).status, 200)
})

t.test('the log contains no secrets', async (t) => {
  const logged: string[] = []
  const stream = { write: (line: string) => logged.push(line) }
  const running = await start(t, { logger: { level: 'trace', stream } })
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  const consent = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  const back = await visitor.press(consent, 'Allow', {}, REDIRECT_URI)
  await redeem(running, new URL(back.url).searchParams.get('code') ?? '')
  await get(`${running.apiUrl}/account?token=${await accessToken(running)}`)
  running.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant' })
  await refresh(running, running.standIn.grant('amelie'))
  const text = logged.join('')
  t.match(text, '/v3/account')
  t.match(text, 'fault applied')
  const secrets = [
    ...running.standIn.issued(),
    client.secret,
    ...visitor.cookies(running.url).values(),
  ]
  t.ok(secrets.length >= 7)
  t.notOk(secrets.some((secret) => text.includes(secret)))
})

t.test('internal errors are logged and their details are not sent', async (t) => {
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

t.test('issued() returns at most the last 100,000 secrets', async (t) => {
  const { standIn } = buildStandIn({ clients: [client] })
  const first = standIn.grant('amelie')
  t.ok(standIn.issued().includes(first))
  for (let count = 0; count < 100_000; count++) standIn.grant('amelie')
  const issued = standIn.issued()
  t.notOk(issued.includes(first))
  t.ok(issued.length >= 75_000 && issued.length <= 100_000)
})

t.test('grant fails without a client', async (t) => {
  const { standIn } = buildStandIn({ clients: [] })
  t.throws(() => standIn.grant('amelie'), { message: /no client/ })
  t.ok(standIn.honours(standIn.grant('amelie', 'some-client')))
})

const TOKEN_FAMILIES = size(4, 20)

t.test(`${50 * TOKEN_FAMILIES} refreshes, ${TOKEN_FAMILIES} concurrently`, async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const startedAt = performance.now()
  const families = Array.from({ length: TOKEN_FAMILIES }, async (_, index) => {
    let token = running.standIn.grant(`user-${index}`)
    for (let count = 0; count < 50; count++) {
      token = (await refresh(running, token)).body.refresh_token
    }
    return running.standIn.honours(token)
  })
  t.ok((await Promise.all(families)).every(Boolean))
  t.equal(running.standIn.calls.refresh, 50 * TOKEN_FAMILIES)
  t.comment(
    `${((50_000 * TOKEN_FAMILIES) / (performance.now() - startedAt)).toFixed(0)} refreshes per second`,
  )
})
