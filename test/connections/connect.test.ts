import t from 'tap'
import {
  RETURN,
  addApp,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
  exchange,
} from '../helper.ts'
import { Visitor } from '../visitor.ts'

t.test('a user connects, and the app gets a code, its state and the issuer', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, parameters } = await authorize(broker, app)
  t.equal(returned.origin + returned.pathname, RETURN)
  t.match(returned.searchParams.get('code'), /^[A-Za-z0-9_-]{43}$/)
  t.equal(returned.searchParams.get('state'), parameters.state)
  t.equal(returned.searchParams.get('iss'), broker.url)

  const [connection] = await Array.fromAsync(broker.services.connections.all())
  t.match(connection, { username: 'amelie', status: 'active' })
})

t.test('at Ellipsis Drive each flow has a state and a challenge of its own', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const seen = new Set<string>()
  for (let round = 0; round < 2; round++) {
    const visitor = new Visitor()
    const { parameters } = authorizationRequest(app)
    const query = new URLSearchParams(parameters).toString()
    const consent = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive')
    const sent = Object.fromEntries(new URL(upstream.url).searchParams)
    t.match(sent, {
      response_type: 'code',
      code_challenge_method: 'S256',
      code_challenge: /^[\w-]{43}$/,
      state: /^[\w-]{43}$/,
      redirect_uri: `${broker.url}/callback`,
    })
    for (const secret of [parameters.state, parameters.code_challenge])
      t.notOk(Object.values(sent).includes(secret), 'the app’s own values stay in the broker')
    seen.add(sent.state ?? '').add(sent.code_challenge ?? '')
    // The stand-in checks the client's secret and the verifier.
    const returned = await allow(visitor, upstream, 'amelie', RETURN)
    t.ok(new URL(returned.url).searchParams.has('code'))
  }
  t.equal(seen.size, 4)
})

t.test('one account has one connection, however many apps and devices', async (t) => {
  const broker = await buildBroker(t)
  const one = await connect(broker, await addApp(broker))
  const two = await connect(broker, await addApp(broker, { name: 'Second' }))
  const bo = await connect(broker, await addApp(broker, { name: 'Third' }), { user: 'bo' })
  t.equal(one.connectionId, two.connectionId)
  t.not(one.connectionId, bo.connectionId)
  t.not(one.grantId, two.grantId)
  t.equal((await exchange(broker, one.brokerToken)).status, 200)
  t.equal((await exchange(broker, two.brokerToken)).status, 200)
})

t.test('without an account id each authorization creates a new connection', async (t) => {
  for (const switches of [{ accountWithoutId: true }, { refuseAccount: true }]) {
    const broker = await buildBroker(t, { switches })
    const app = await addApp(broker)
    const one = await connect(broker, app)
    const two = await connect(broker, app)
    t.not(one.connectionId, two.connectionId)
    t.equal((await exchange(broker, one.brokerToken)).status, 200)
  }
})

t.test('a reconnect link renews its connection if the username matches', async (t) => {
  const broker = await buildBroker(t, { switches: { accountWithoutId: true } })
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  const parameters = { connection: connectionId }
  const path = `/connect/${app.id}`
  const again = await connect(broker, app, { path, parameters })
  t.equal(again.connectionId, connectionId)
  const other = await connect(broker, app, { path, parameters, user: 'bo' })
  t.not(other.connectionId, connectionId)
})

t.test('a plain connect link issues no code, and ends on a page of the broker', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie')
  t.match(page.body, 'You are connected')
  t.match(page.body, 'amelie')
  t.ok(page.body.includes(`href="${RETURN}"`))
  t.equal((await Array.fromAsync(broker.services.connections.all())).length, 1)

  const refused = await visitor.press(await visitor.open(`${broker.url}/connect/${app.id}`), 'Deny')
  t.match(refused.body, 'Nothing was connected')
})

t.test('errors of Ellipsis Drive while connecting are returned to the app', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const cases = [
    [{ endpoint: 'token', kind: 'status', status: 500, times: 1 }, 'temporarily_unavailable'],
    [{ endpoint: 'token', kind: 'invalid_client', times: 1 }, 'server_error'],
    [{ endpoint: 'token', kind: 'invalid_grant', times: 1 }, 'invalid_request'],
  ] as const
  for (const [fault, error] of cases) {
    broker.standIn.addFault(fault)
    const { returned } = await authorize(broker, app)
    t.equal(returned.searchParams.get('error'), error)
    broker.standIn.clearFaults()
  }
  broker.standIn.addFault({ endpoint: 'account', kind: 'status', status: 500, times: 1 })
  const { returned } = await authorize(broker, app)
  t.ok(returned.searchParams.has('code'), 'asked for the account once more')
})

t.test('links, cookies and redirects include the base path', async (t) => {
  const broker = await buildBroker(t, { basePath: '/maps/broker' })
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const origin = new URL(broker.url).origin
  for (const path of [
    '/.well-known/oauth-authorization-server/maps/broker',
    '/maps/broker/.well-known/oauth-authorization-server',
  ]) {
    const body = (await (await fetch(origin + path)).json()) as { issuer: string }
    t.equal(body.issuer, broker.url)
  }
  const page = await new Visitor().open(`${broker.url}/connect/${app.id}`)
  const style = /href="([^"]*broker\.[^"]*\.css)"/.exec(page.body)?.[1] ?? ''
  t.match(style, /^\/maps\/broker\/assets\//)
  const sheet = await fetch(origin + style)
  t.equal(sheet.headers.get('content-type'), 'text/css; charset=utf-8')
  t.match(sheet.headers.get('cache-control'), 'immutable')
})

t.test('fragment delivery: an access token in the fragment, and no broker token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { deliver: 'fragment' })
  const visitor = new Visitor()
  const address = `${broker.url}/connect/${app.id}?state=abc`
  const asked = await visitor.open(address)
  t.match(asked.body, 'Warning:')
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie', RETURN)
  const answer = new URLSearchParams(new URL(page.url).hash.slice(1))
  t.equal(answer.get('state'), 'abc')
  t.equal(answer.get('token_type'), 'Bearer')
  t.ok(Number(answer.get('expires_in')) > 3000)
  t.ok(broker.standIn.issued().includes(answer.get('access_token') ?? ''))
  const without = await new Visitor().open(`${broker.url}/connect/${app.id}`, RETURN)
  t.match(new URL(without.url).hash, 'error=invalid_request')
})

t.test('fragment delivery ends while Ellipsis Drive answers: no access token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { deliver: 'fragment' })
  const visitor = new Visitor()
  const asked = await visitor.open(`${broker.url}/connect/${app.id}?state=abc`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  broker.standIn.addFault({ endpoint: 'token', kind: 'late', milliseconds: 7777 })
  const returning = allow(visitor, login, 'amelie', RETURN)
  await broker.clock.asleep(7777)
  await broker.services.apps.set(app.id, { access: 'proxy', deliver: 'code' }, 'test')
  broker.clock.advance(7777)
  const page = await returning
  for (const token of broker.standIn.issued()) t.notOk(`${page.url} ${page.body}`.includes(token))
  t.match(new URL(page.url).hash, 'error=unauthorized_client')
})
