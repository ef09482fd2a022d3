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
  postForm,
} from './helper.ts'
import { Visitor } from './visitor.ts'

t.test('a user connects, and the app gets a code, its state and the issuer', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, parameters } = await authorize(broker, app)
  t.equal(returned.origin + returned.pathname, RETURN)
  t.match(returned.searchParams.get('code'), /^[A-Za-z0-9_-]{43}$/)
  t.equal(returned.searchParams.get('state'), parameters.state)
  t.equal(returned.searchParams.get('iss'), broker.url)

  const [connection] = await broker.services.connections.list({ after: null, limit: 10 })
  t.match(connection, { username: 'amelie', status: 'active', generation: Number })
})

t.test('the asking page says who asks, what for, and who runs this', async (t) => {
  const env = {
    BROKER_NAME: 'Maps & Co',
    BROKER_CONTACT: 'help@example.com',
    BROKER_PRIVACY_URL: 'https://example.com/privacy',
  }
  const broker = await buildBroker(t, { env })
  const app = await addApp(broker, { name: '<b>Evil\u202e</b>' })
  const { parameters } = authorizationRequest(app)
  const page = await new Visitor().open(
    `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
  )
  t.equal(page.status, 200)
  for (const text of [
    '&lt;b&gt;Evil',
    'Maps &amp; Co',
    'mailto:help@example.com',
    'app.example.com',
  ]) {
    t.ok(page.body.includes(text), text)
  }
  t.notMatch(page.body, '<b>Evil')
  t.match(page.body, /<button[^>]*value="allow".*<button[^>]*value="deny"/s)
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, "default-src 'none'")
  t.match(policy, "frame-ancestors 'none'")
  t.match(policy, /form-action 'self' http:\/\/127\.0\.0\.1:\d+ https:\/\/app\.example\.com/)
  t.notMatch(policy, 'unsafe-inline')
  t.notMatch(policy, 'upgrade-insecure-requests')
  t.equal(page.headers.get('x-frame-options'), 'DENY')
  t.equal(page.headers.get('referrer-policy'), 'same-origin')
  t.equal(page.headers.get('cache-control'), 'no-store')
})

t.test('a refusal on either page comes back as access_denied', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`

  const here = await visitor.press(await visitor.open(address), 'Refuse', {}, RETURN)
  const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
  const consent = await visitor.press(login, 'Log in as Amelie Laurent (amelie)')
  const there = await visitor.press(consent, 'Refuse', {}, RETURN)
  for (const page of [here, there]) {
    const answer = new URL(page.url).searchParams
    t.equal(answer.get('error'), 'access_denied')
    t.equal(answer.get('state'), parameters.state)
    t.equal(answer.get('iss'), broker.url)
  }
  t.equal((await broker.services.connections.list({ after: null, limit: 10 })).length, 0)
})

t.test('a second app is asked for, though Ellipsis Drive does not ask again', async (t) => {
  const broker = await buildBroker(t)
  const visitor = new Visitor()
  await authorize(broker, await addApp(broker), { visitor })
  const second = await addApp(broker, { name: 'Second app' })
  const { parameters } = authorizationRequest(second)
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const page = await visitor.open(address, RETURN)
  t.match(page.body, 'Second app')
  t.match(page.body, 'Continue to Ellipsis Drive')
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

t.test('without an account id each authorization makes a connection of its own', async (t) => {
  for (const switches of [{ accountWithoutId: true }, { refuseAccount: true }]) {
    const broker = await buildBroker(t, { switches })
    const app = await addApp(broker)
    const one = await connect(broker, app)
    const two = await connect(broker, app)
    t.not(one.connectionId, two.connectionId)
    t.equal((await exchange(broker, one.brokerToken)).status, 200)
  }
})

t.test('a reconnect link renews its own connection, if the username agrees', async (t) => {
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

t.test('a plain connect link issues nothing, and ends on a page of the broker’s', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie')
  t.match(page.body, 'You are connected')
  t.match(page.body, 'amelie')
  t.ok(page.body.includes(`href="${RETURN}"`))
  t.equal((await broker.services.connections.list({ after: null, limit: 10 })).length, 1)

  const refused = await visitor.press(
    await visitor.open(`${broker.url}/connect/${app.id}`),
    'Refuse',
  )
  t.match(refused.body, 'Nothing was connected')
})

t.test('two tabs of one browser connect at once', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const address = () =>
    `${broker.url}/oauth/authorize?${new URLSearchParams(authorizationRequest(app).parameters).toString()}`
  const [first, second] = [await visitor.open(address()), await visitor.open(address())]
  const login1 = await visitor.press(first, 'Continue to Ellipsis Drive')
  const login2 = await visitor.press(second, 'Continue to Ellipsis Drive')
  for (const login of [login2, login1]) {
    const page = await allow(visitor, login, 'amelie', RETURN)
    t.ok(new URL(page.url).searchParams.has('code'))
  }
})

t.test('a callback of another browser changes nothing for the first', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const { parameters } = authorizationRequest(app)
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
  const callback = await allow(visitor, login, 'amelie', `${broker.url}/callback`)

  const stranger = await new Visitor().open(callback.url, RETURN)
  t.equal(stranger.status, 400)
  t.match(stranger.body, 'began in another browser')
  t.equal(broker.standIn.calls.token, 0, 'the code was not touched')

  const page = await visitor.open(callback.url, RETURN)
  t.ok(new URL(page.url).searchParams.has('code'))
  const again = await visitor.open(callback.url, RETURN)
  t.equal(again.status, 400, 'a state works once')
})

t.test('a consent posted from another site, or without its token, changes nothing', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const page = await visitor.open(
    `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
  )
  const token = /name="_csrf" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
  const post = (form: Record<string, string>, headers: Record<string, string>, who = visitor) =>
    who.open(`${broker.url}/oauth/authorize`, RETURN, {
      method: 'POST',
      body: new URLSearchParams({ ...parameters, decision: 'allow', ...form }),
      headers,
    })
  const cases = [
    await post({ _csrf: token }, { origin: 'https://evil.example' }),
    await post({ _csrf: token }, { 'sec-fetch-site': 'cross-site' }),
    await post({ _csrf: token }, { origin: 'null' }),
    await post({}, { origin: broker.url }),
    await post({ _csrf: 'x' }, { origin: broker.url }),
    await post({ _csrf: token }, { origin: broker.url }, new Visitor()),
  ]
  for (const answer of cases) {
    t.equal(answer.status, 403)
    t.match(answer.body, 'Go back to the app')
  }
  const good = await post({ _csrf: token }, { origin: broker.url })
  t.match(good.url, '/oauth/authorize?response_type=code')
  const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  const answer = await fetch(`${broker.url}/oauth/authorize`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ ...parameters, decision: 'allow', _csrf: token }),
    headers: { cookie, origin: broker.url },
  })
  t.equal(answer.status, 303, 'a form is never posted on (RFC 9700 4.12)')
})

t.test('a code works once, and what it began dies with its second use', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, verifier, parameters } = await authorize(broker, app)
  const form = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  }
  const wrong = { ...form, code_verifier: 'x'.repeat(43) }
  t.match(await postForm(`${broker.url}/oauth/token`, wrong), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  const first = await postForm(`${broker.url}/oauth/token`, form)
  t.equal(first.status, 200)
  t.equal(first.headers.get('cache-control'), 'no-store')
  const brokerToken = String(first.body.access_token)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.match(await postForm(`${broker.url}/oauth/token`, form), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  t.equal((await exchange(broker, brokerToken)).status, 401)
})

t.test('a code lives a minute', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, verifier } = await authorize(broker, app)
  broker.clock.advance(61_000)
  const answer = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  })
  t.match(answer, { status: 400, body: { error: 'invalid_grant' } })
})

t.test(
  'what is wrong with app or redirect URI is told on a page, the rest to the app',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { parameters } = authorizationRequest(app)
    const open = (changed: Record<string, string | undefined>) => {
      const pairs = Object.entries({ ...parameters, ...changed }).filter(
        (pair): pair is [string, string] => pair[1] !== undefined,
      )
      const query = new URLSearchParams(pairs).toString()
      return new Visitor().open(`${broker.url}/oauth/authorize?${query}`, 'https://')
    }
    for (const changed of [
      { client_id: 'app_unknown' },
      { client_id: undefined },
      { redirect_uri: `${RETURN}/` },
      { redirect_uri: 'https://evil.example/' },
    ]) {
      const page = await open(changed)
      t.equal(page.status, 400, JSON.stringify(changed))
      t.match(page.body, 'That did not work')
    }
    const cases: [Record<string, string | undefined>, string][] = [
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ response_type: undefined }, 'invalid_request'],
      [{ response_mode: 'fragment' }, 'invalid_request'],
      [{ scope: 'everything' }, 'invalid_scope'],
      [{ code_challenge: undefined }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ code_challenge_method: undefined }, 'invalid_request'],
      [{ code_challenge: 'short' }, 'invalid_request'],
      [{ state: 'x'.repeat(2000) }, 'invalid_request'],
    ]
    for (const [changed, error] of cases) {
      const { searchParams } = new URL((await open(changed)).url)
      t.equal(searchParams.get('error'), error, JSON.stringify(changed))
      t.equal(searchParams.get('iss'), broker.url)
      t.notOk(searchParams.has('code'))
    }
    const twice = new URLSearchParams([
      ...Object.entries(parameters),
      ['scope', 'a'],
      ['scope', 'b'],
    ])
    const page = await new Visitor().open(
      `${broker.url}/oauth/authorize?${twice.toString()}`,
      'https://',
    )
    t.equal(new URL(page.url).searchParams.get('error'), 'invalid_request')
  },
)

t.test('trouble at Ellipsis Drive while connecting is told to the app', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const cases = [
    [{ endpoint: 'token', kind: 'status', status: 500, times: 1 }, 'temporarily_unavailable'],
    [{ endpoint: 'token', kind: 'invalid_client', times: 1 }, 'server_error'],
    [{ endpoint: 'token', kind: 'invalid_grant', times: 1 }, 'server_error'],
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

t.test('with a base path, links, cookies and redirects carry it', async (t) => {
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

t.test(
  'trusted apps skip the asking page, but not on redirects that others can claim',
  async (t) => {
    const broker = await buildBroker(t)
    const open = async (redirectUri: string) => {
      const app = await addApp(broker, { trusted: true, redirectUris: [redirectUri] })
      const { parameters } = authorizationRequest(app)
      const query = new URLSearchParams(parameters).toString()
      return new Visitor().open(`${broker.url}/oauth/authorize?${query}`)
    }
    t.match((await open(RETURN)).body, 'Log in as')
    for (const claimable of ['http://127.0.0.1/return', 'com.example.app:/return']) {
      t.match((await open(claimable)).body, 'Continue to Ellipsis Drive')
    }
  },
)

t.test('fragment delivery: an access token in the fragment, and no broker token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { deliver: 'fragment' })
  const visitor = new Visitor()
  const address = `${broker.url}/connect/${app.id}?state=abc`
  const asked = await visitor.open(address)
  t.match(asked.body, 'Take care')
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
