import t from 'tap'
import { findGrant } from '../../db/rows.ts'
import { allow, exchange } from '../../helper.ts'
import { ACCESS_TOKEN, swapAtToken } from '../swap/begin.ts'
import { Visitor } from '../../visitor.ts'
import { begin, allowDevice, enterCode } from './begin.ts'

t.test('a device without a browser connects with a code that the user types', async (t) => {
  const { broker, app, start, poll } = await begin(t)
  const started = await start({ scope: 'projects' }, { 'user-agent': 'python-requests/2.31' })
  t.equal(started.status, 200)
  t.equal(started.headers.get('cache-control'), 'no-store')
  t.match(started.body, {
    device_code: /^[\w-]{43}$/,
    user_code: /^[B-Z]{4}-[B-Z]{4}$/,
    verification_uri: `${broker.url}/device`,
    verification_uri_complete: `${broker.url}/device?user_code=${String(started.body.user_code)}`,
    expires_in: 900,
    interval: 5,
  })
  const { device_code: code, user_code: userCode } = started.body
  t.match(await poll(code), { status: 400, body: { error: 'authorization_pending' } })

  const visitor = new Visitor()
  const asked = await enterCode(broker, String(userCode).toLowerCase().replace('-', ' '), visitor)
  for (const words of ['Night job', String(userCode), 'started this yourself', 'python-requests']) {
    t.ok(asked.body.includes(words), words)
  }
  const answered = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const end = await allow(visitor, answered, 'amelie')
  t.match(end.body, 'You are connected')
  t.match(end.body, 'Go back to your device')
  t.notMatch(end.body, 'class="button')

  const answer = await poll(code)
  t.match(answer, {
    status: 200,
    body: { token_type: 'Bearer', expires_in: 30 * 86_400, scope: 'projects' },
  })
  const swapped = await exchange(broker, String(answer.body.access_token))
  t.ok(broker.standIn.issued().includes(String(swapped.body.access_token)))
  const grant = await findGrant(broker.services.store, app.id)
  t.equal(grant?.device, 'A device (python-requests)')
  const { rows: events } = await broker.services.store.listEvents({ limit: 10 })
  const actions = events.map(({ action }) => action)
  t.same(actions.reverse().slice(-3), ['connection.connected', 'device.allowed', 'grant.begun'])
})

t.test(
  'verification_uri_complete fills in the code, and the user must still consent',
  async (t) => {
    const { broker, start } = await begin(t)
    const { body } = await start()
    const visitor = new Visitor()
    const page = await visitor.open(String(body.verification_uri_complete))
    t.match(page.body, `value="${String(body.user_code)}"`)
    t.match(page.body, 'Check that your device shows exactly this code.')
    t.notMatch(page.body, 'Night job', 'a link looks up nothing')
    const asked = await visitor.press(page, 'Continue')
    t.match(asked.body, 'Continue to Ellipsis Drive')
    const invalid = await visitor.open(`${broker.url}/device?user_code=%22%3E%3Cscript%3E`)
    t.match(invalid.body, 'value=""')
    t.match(await visitor.open(`${broker.url}/device?user_code=a&user_code=b`), { status: 200 })
  },
)

t.test('a trusted app needs consent in the device flow', async (t) => {
  const { broker, start, poll } = await begin(t, { trusted: true })
  const { body } = await start()
  const visitor = new Visitor()
  const asked = await enterCode(broker, body.user_code, visitor)
  for (const words of ['Night job', String(body.user_code), 'started this yourself']) {
    t.ok(asked.body.includes(words), words)
  }
  t.match(await poll(body.device_code), { body: { error: 'authorization_pending' } })
  const answered = await visitor.press(asked, 'Continue to Ellipsis Drive')
  t.match(answered.body, 'Log in as')
})

t.test('a confidential app uses the device flow with its secret', async (t) => {
  const { broker, client, start, poll } = await begin(t, { confidential: true })
  t.equal((await start({ client_secret: 'x' })).status, 401)
  const { body } = await start()
  await allowDevice(broker, body.user_code)
  t.equal((await poll(body.device_code, { client_secret: 'x' })).status, 401)
  const answer = await poll(body.device_code)
  t.equal((await exchange(broker, String(answer.body.access_token))).status, 401)
  const swapped = await swapAtToken(broker, String(answer.body.access_token), client)
  t.match(swapped.body, { issued_token_type: ACCESS_TOKEN })
})

t.test(
  'an app with Ellipsis tokens: the code stays valid while Ellipsis Drive is unavailable',
  async (t) => {
    const options = { switches: { tokenLifetime: 300 } }
    const { broker, start, poll } = await begin(t, { tokens: 'ellipsis' }, options)
    const { body } = await start()
    await allowDevice(broker, body.user_code)
    broker.clock.advance(301_000)
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 100 })
    t.match(await poll(body.device_code), {
      status: 503,
      body: { error: 'temporarily_unavailable' },
    })
    broker.standIn.clearFaults()
    broker.clock.advance(5_000)
    const answer = await poll(body.device_code)
    t.equal(answer.status, 200)
    t.ok(broker.standIn.issued().includes(String(answer.body.access_token)))
    t.type(answer.body.refresh_token, 'string')
  },
)

t.test('a denial, at the broker or at Ellipsis Drive, is reported to the device', async (t) => {
  const { broker, start, poll } = await begin(t)
  const visitor = new Visitor()
  const first = await start()
  const refused = await visitor.press(
    await enterCode(broker, first.body.user_code, visitor),
    'Deny',
  )
  t.match(refused.body, 'Nothing was connected')
  t.match(refused.body, 'Your device shows this too')
  t.match(await poll(first.body.device_code), { status: 400, body: { error: 'access_denied' } })

  const second = await start()
  const asked = await enterCode(broker, second.body.user_code, visitor)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const consent = await visitor.press(login, 'Log in as Amelie Laurent (amelie)')
  const there = await visitor.press(consent, 'Refuse')
  t.match(there.body, 'Nothing was connected')
  t.match(await poll(second.body.device_code), { status: 400, body: { error: 'access_denied' } })
  t.equal((await Array.fromAsync(broker.services.connections.all())).length, 0)
})

t.test('polling too soon increases the interval', async (t) => {
  const { broker, start, poll } = await begin(t)
  const { body } = await start()
  const error = async () => (await poll(body.device_code)).body.error
  t.equal(await error(), 'authorization_pending')
  t.equal(await error(), 'slow_down')
  broker.clock.advance(5_000)
  t.equal(await error(), 'slow_down', 'the interval is ten seconds now')
  broker.clock.advance(15_000)
  t.equal(await error(), 'authorization_pending')
  broker.clock.advance(15_000)
  t.equal(await error(), 'authorization_pending')
  await allowDevice(broker, body.user_code)
  t.equal(
    (await poll(body.device_code)).status,
    200,
    'after the user’s answer, the interval does not matter',
  )
})

t.test('both codes expire after fifteen minutes, also during the sign-in', async (t) => {
  const { broker, start, poll } = await begin(t)
  const { body } = await start()
  const visitor = new Visitor()
  broker.clock.advance(899_000)
  const asked = await enterCode(broker, body.user_code, visitor)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  broker.clock.advance(2_000)
  const end = await allow(visitor, login, 'amelie')
  t.equal(end.status, 400)
  t.match(end.body, 'Start again on the device')
  t.equal(broker.standIn.calls.token, 0, 'the code of Ellipsis Drive was not redeemed')
  t.match(await poll(body.device_code), { status: 400, body: { error: 'expired_token' } })
  t.match((await enterCode(broker, body.user_code)).body, 'This code is wrong or has expired')
})

t.test('no grant if the code expires while Ellipsis Drive answers', async (t) => {
  const { broker, start, poll } = await begin(t)
  const { body } = await start()
  const { store } = broker.services
  const save = store.saveConnection.bind(store)
  store.saveConnection = async (connection) => {
    broker.clock.advance(900_000)
    return save(connection)
  }
  const end = await allowDevice(broker, body.user_code)
  t.equal(end.status, 400)
  t.match(end.body, 'Start again on the device')
  t.match(await poll(body.device_code), { status: 400, body: { error: 'expired_token' } })
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  t.strictSame(await store.listGrants(connection?.id ?? ''), [])
})

t.test('if two users answer the same code, the first one counts', async (t) => {
  const { broker, start, poll } = await begin(t)
  const { body } = await start()
  const [one, two] = [new Visitor(), new Visitor()]
  const pages = [
    await enterCode(broker, body.user_code, one),
    await enterCode(broker, body.user_code, two),
  ] as const
  const second = await two.press(pages[1], 'Continue to Ellipsis Drive')
  const first = await one.press(pages[0], 'Continue to Ellipsis Drive')
  t.match((await allow(one, first, 'amelie')).body, 'You are connected')
  const late = await allow(two, second, 'bo')
  t.equal(late.status, 400)
  const { body: token } = await poll(body.device_code)
  t.equal((await exchange(broker, String(token.access_token))).status, 200)
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  t.match(connection, { username: 'amelie' })
})

t.test('a device code works once, and its second use revokes the grant', async (t) => {
  const { broker, start, poll } = await begin(t)
  const { body } = await start()
  await allowDevice(broker, body.user_code)
  const token = String((await poll(body.device_code)).body.access_token)
  t.equal((await exchange(broker, token)).status, 200)
  t.match(await poll(body.device_code), { status: 400, body: { error: 'invalid_grant' } })
  t.equal((await exchange(broker, token)).status, 401)
})

t.test('at most one of several concurrent polls gets the token', async (t) => {
  const { broker, start, poll } = await begin(t)
  const { body } = await start()
  await allowDevice(broker, body.user_code)
  const answers = await Promise.all(Array.from({ length: 5 }, () => poll(body.device_code)))
  const good = answers.filter(({ status }) => status === 200)
  t.ok(good.length <= 1)
  t.equal(answers.length - good.length, answers.filter(({ status }) => status === 400).length)
})

t.test('revocation and app removal invalidate approved device codes', async (t) => {
  const { broker, app, start, poll } = await begin(t)
  const { connections, apps } = broker.services
  const first = (await start()).body
  await allowDevice(broker, first.user_code)
  const [{ id } = { id: '' }] = await Array.fromAsync(connections.all())
  await connections.revokeApp(id, app.id, 'test')
  t.match(await poll(first.device_code), { status: 400, body: { error: 'invalid_grant' } })
  const second = (await start()).body
  await allowDevice(broker, second.user_code)
  await connections.revoke(id, 'test')
  t.match(await poll(second.device_code), { status: 400, body: { error: 'invalid_grant' } })
  const third = (await start()).body
  await apps.remove(app.id, 'test')
  t.match(await poll(third.device_code), { status: 401, body: { error: 'invalid_client' } })
  t.match((await enterCode(broker, third.user_code)).body, 'This code is wrong or has expired')
})

t.test('the connect link of an app without a redirect URI ends at the broker', async (t) => {
  const { broker, app } = await begin(t)
  const visitor = new Visitor()
  const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
  t.notMatch(asked.body, 'you return to')
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const end = await allow(visitor, login, 'amelie')
  t.match(end.body, 'You can close this window')
  const again = await visitor.open(`${broker.url}/connect/${app.id}`)
  t.match((await visitor.press(again, 'Deny')).body, 'You can close this window')
  for (const query of ['?scope=all', '?code_challenge=x', '?redirect_uri=https://evil.example/']) {
    const wrong = await visitor.open(`${broker.url}/connect/${app.id}${query}`, 'https://')
    t.equal(wrong.status, 400, query)
  }
  const authorize = `${broker.url}/oauth/authorize?client_id=${app.id}&response_type=code`
  t.equal((await visitor.open(authorize)).status, 400)
})
