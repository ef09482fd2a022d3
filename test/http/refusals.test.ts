import t from 'tap'
import {
  addApp,
  addAppWithSecret,
  authorizationRequest,
  authorize,
  buildBroker,
} from '../helper.ts'
import { RETURN, connect, exchange, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

const INFO = 30

interface Line {
  level: number
  msg: string
  request?: string
  requests?: string[]
  [field: string]: unknown
}

/** What an operator reads: the lines from level info on that `work` causes. */
async function linesOf({ logged }: TestBroker, work: () => Promise<unknown>): Promise<Line[]> {
  const from = logged.length
  await work()
  const lines = logged.slice(from).map((line) => JSON.parse(line) as Line)
  return lines.filter(({ level }) => level >= INFO)
}

t.test('each refusal at an endpoint of apps is one line with its reason and app', async (t) => {
  const broker = await buildBroker(t)
  const { url } = broker
  const server = await addAppWithSecret(broker, { confidential: true, name: 'Back end' })
  const map = await addApp(broker, { name: 'Map' })
  const secret = server.clientSecret?.reveal() ?? ''
  const { brokerToken } = await connect(broker, map)
  const backEnd = { app: server.app.id, app_name: 'Back end' }
  const publicMap = { app: map.id, app_name: 'Map' }
  const code = { grant_type: 'authorization_code', code: 'x', code_verifier: 'y' }

  const token =
    (form: Record<string, string>, headers = {}) =>
    () =>
      postForm(`${url}/oauth/token`, form, headers)
  const at = (path: string, form: Record<string, string>) => () => postForm(url + path, form)
  const asServer = { client_id: server.app.id, client_secret: secret }
  const cases: [reason: string, () => Promise<{ status: number; headers: Headers }>, object][] = [
    [
      'client_secret_mismatch',
      token({ ...code, client_id: server.app.id, client_secret: 'wrong' }),
      { ...backEnd, error: 'invalid_client', status: 401 },
    ],
    ['client_secret_missing', token({ ...code, client_id: server.app.id }), backEnd],
    [
      'client_secret_of_public_app',
      token({ ...code, client_id: map.id, client_secret: 's' }),
      publicMap,
    ],
    ['unknown_client', token({ ...code, client_id: 'nobody' }), { error: 'invalid_client' }],
    ['client_id_missing', token(code), { error: 'invalid_client' }],
    ['code_unknown', token({ ...code, ...asServer }), { ...backEnd, error: 'invalid_grant' }],
    [
      'code_unknown',
      token({ ...code, client_id: map.id, redirect_uri: 'https://app.example.com/return?x=1' }),
      { ...publicMap, redirect_host: 'app.example.com' },
    ],
    ['unsupported_grant_type', token({ ...asServer, grant_type: 'password' }), backEnd],
    ['parameter_invalid', token({ client_id: map.id }), { ...publicMap, error: 'invalid_request' }],
    [
      'authorization_header_malformed',
      token(code, { authorization: 'Basic %' }),
      { error: 'invalid_client' },
    ],
    ['content_type_unsupported', token(code, { 'content-type': 'text/css' }), { status: 415 }],
    ['public_client', at('/oauth/introspect', { token: 't', client_id: map.id }), publicMap],
    [
      'client_secret_mismatch',
      at('/oauth/revoke', { ...asServer, token: 't', client_secret: 'no' }),
      { ...backEnd, path: '/oauth/revoke' },
    ],
    [
      'device_option_missing',
      at('/oauth/device_authorization', { client_id: map.id }),
      { ...publicMap, error: 'unauthorized_client' },
    ],
    ['token_malformed', () => exchange(broker, 'x'), { error: 'invalid_token', status: 401 }],
    [
      'token_missing',
      () => fetch(`${url}/exchange`, { method: 'POST' }),
      { path: '/exchange', error: 'invalid_token', status: 401 },
    ],
    ['not_found', at('/oauth/tokens', {}), { status: 404, path: '/oauth/tokens' }],
    [
      'method_not_allowed',
      () => fetch(`${url}/oauth2/../oauth/token?code=secret`),
      { status: 405, path: '/oauth/token' },
    ],
    [
      'not_found',
      at('/admin/setup/OE7QWX0_zI1013OKTnJ-Lmy6QMH4IehJMHRYt/BCDF-GHJK', {}),
      { status: 404, path: '/admin/setup/…/…' },
    ],
  ]
  for (const [reason, send, expected] of cases) {
    await t.test(reason, async (t) => {
      broker.clock.advance(61_000)
      let id: string | null = null
      const lines = await linesOf(broker, async () => {
        const { headers } = await send()
        id = headers.get('x-request-id')
      })
      const about = { ...expected, address: '127.0.0.1', request: id, level: INFO }
      t.match(lines, [{ msg: 'request refused', reason, ...about }])
      t.equal(lines.length, 1)
    })
  }

  await t.test('a revoked grant names its app', async (t) => {
    await postForm(`${url}/oauth/revoke`, { token: brokerToken, client_id: map.id })
    const lines = await linesOf(broker, () => exchange(broker, brokerToken))
    t.match(lines, [{ reason: 'grant_revoked', ...publicMap, path: '/exchange' }])
  })

  await t.test('polling that goes on is no refusal', async (t) => {
    const tv = await addApp(broker, { redirectUris: [], device: true })
    const { body } = await postForm(`${url}/oauth/device_authorization`, { client_id: tv.id })
    const poll = token({
      client_id: tv.id,
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: body.device_code as string,
    })
    t.strictSame(await linesOf(broker, poll), [])
    t.match(await linesOf(broker, poll), [{ reason: 'polled_too_often', error: 'slow_down' }])
  })
})

t.test('repetitions within a minute are one more line, which has their request ids', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker, { confidential: true })
  const ids: (string | null)[] = []
  const fail = async (clientId: string) => {
    const form = { grant_type: 'x', client_id: clientId, client_secret: 'wrong', token: 't' }
    const { headers } = await postForm(`${broker.url}/oauth/introspect`, form)
    ids.push(headers.get('x-request-id'))
  }
  const first = await linesOf(broker, async () => {
    for (let count = 0; count < 4; count++) await fail(app.id)
    await fail('another')
  })
  t.match(
    first,
    [
      { reason: 'client_secret_mismatch', request: ids[0] },
      { reason: 'unknown_client', request: ids[4] },
    ],
    'one line for each reason',
  )
  t.equal(first.length, 2)
  const repeated = await linesOf(broker, async () => broker.clock.advance(61_000))
  t.match(repeated, [
    {
      level: INFO,
      msg: 'request refused: repeated 3 times within a minute',
      reason: 'client_secret_mismatch',
      app: app.id,
      address: '127.0.0.1',
      repeats: 3,
      requests: ids.slice(1, 4),
    },
  ])
  t.equal(repeated.length, 1)
  t.match(await linesOf(broker, () => fail(app.id)), [{ msg: 'request refused' }], 'a new minute')
})

t.test('a refusal at another endpoint is no repetition', async (t) => {
  const broker = await buildBroker(t)
  const lines = await linesOf(broker, async () => {
    const code = { grant_type: 'authorization_code', code: 'x', code_verifier: 'y' }
    await postForm(`${broker.url}/oauth/token`, { ...code, client_id: 'nobody' })
    await postForm(`${broker.url}/oauth/introspect`, { token: 't', client_id: 'nobody' })
    await fetch(`${broker.url}/oauth/authorize?client_id=nobody`)
  })
  const about = { msg: 'request refused', reason: 'unknown_client' }
  t.match(lines, [
    { ...about, method: 'POST', path: '/oauth/token' },
    { ...about, method: 'POST', path: '/oauth/introspect' },
    { ...about, method: 'GET', path: '/oauth/authorize' },
  ])
})

t.test('a rejected address is logged with what it did, then as limited', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '2' } })
  const fail = () => postForm(`${broker.url}/oauth/token`, { grant_type: 'x', client_id: 'a' })
  const lines = await linesOf(broker, async () => {
    for (let count = 0; count < 5; count++) await fail()
  })
  const statuses = [{ status: 400 }, { status: 429 }]
  t.match(lines, [
    { reason: 'unsupported_grant_type', ...statuses[0] },
    { reason: 'rate_limited', ...statuses[1], error: 'slow_down' },
  ])
})

t.test(
  'a redirect URI that is not registered is logged with what differs and the fix',
  async (t) => {
    const broker = await buildBroker(t)
    const redirectUris = [
      'https://map.example.com/return',
      'http://localhost:3000/return',
      'https://other.example.com/entirely/different',
    ]
    const app = await addApp(broker, { name: 'Map', redirectUris })
    const open = (redirectUri: string, visitor = new Visitor()) => {
      const { parameters } = authorizationRequest(app, { redirect_uri: redirectUri })
      return visitor.open(`${broker.url}/oauth/authorize?${new URLSearchParams(parameters)}`)
    }
    const logOf = async (redirectUri: string) => {
      broker.clock.advance(61_000)
      return linesOf(broker, () => open(redirectUri))
    }
    const near = (uri: string, ...differs: string[]) => ({ uri, differs })
    const [map = '', local = ''] = redirectUris
    const sent = 'https://map.example.com/return/'
    const expected = {
      reason: 'redirect_uri_mismatch',
      error: 'invalid_request',
      status: 400,
      app: app.id,
      app_name: 'Map',
      redirect_uri: sent,
      redirect_host: 'map.example.com',
      similar: [near(map, 'slash')],
      fix: `ellipsis-broker app set ${app.id} --redirect-uri ${sent} --add`,
    }
    const lines = await logOf(sent)
    t.match(lines, [expected])
    t.equal(lines.length, 1, 'the page itself is not logged again')
    t.match(await logOf('http://localhost:5173/return'), [{ similar: [near(local, 'port')] }])
    t.match(await logOf('http://map.example.com/return'), [
      { similar: [near(map, 'scheme')], problem: /is http/, fix: undefined },
    ])
    t.match(await logOf('https://MAP.example.com/return'), [{ similar: [near(map, 'spelling')] }])
    t.match(await logOf('https://www.map.example.com/return'), [{ similar: [near(map, 'host')] }])
    t.match(await logOf("https://map.example.com/it's;id"), [
      {
        fix: `ellipsis-broker app set ${app.id} --redirect-uri 'https://map.example.com/it'\\''s;id' --add`,
      },
    ])
    t.match(await logOf(`https://map.example.com/${'a'.repeat(40)}`), [
      { redirect_uri: 'https://map.example.com/[redacted]', fix: undefined },
    ])

    const page = await open(sent)
    t.equal(page.status, 400)
    t.match(page.body, `<code>${sent}</code>`)
    t.match(page.body, expected.fix)
    t.notMatch(page.body, local, 'the page lists no registered URI')
    const hostile = await open('https://evil.example/"><script>alert(1)</script>')
    t.match(hostile.body, '&lt;script&gt;')
    t.notMatch(hostile.body, '<script>alert')
    t.notMatch(hostile.body, /href="https:\/\/evil/)
    t.match((await open('http://map.example.com/')).body, /can’t be registered, because it is http/)
  },
)

t.test('a code that is redeemed with another redirect URI is logged with both', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, verifier } = await authorize(broker, app)
  const form = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  }
  const redeem = (more: object) => () => postForm(`${broker.url}/oauth/token`, { ...form, ...more })
  const sent = `${RETURN}/`
  const lines = await linesOf(broker, redeem({ redirect_uri: sent }))
  t.match(lines, [
    {
      reason: 'redirect_uri_mismatch',
      error: 'invalid_grant',
      redirect_uri: sent,
      similar: [{ uri: RETURN, differs: ['slash'] }],
      problem: /authorization request/,
      fix: undefined,
    },
  ])
  t.equal(lines.length, 1)
})

t.test('a refusal that goes to the app has the request id of the log', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app, { scope: 'everything' })
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters)}`
  let description = ''
  const lines = await linesOf(broker, async () => {
    const { headers } = await fetch(address, { redirect: 'manual' })
    const location = new URL(headers.get('location') ?? '')
    description = location.searchParams.get('error_description') ?? ''
  })
  const host = { redirect_host: 'app.example.com' }
  t.match(lines, [
    { reason: 'scope_unknown', error: 'invalid_scope', status: 303, app: app.id, ...host },
  ])
  t.equal(lines.length, 1)
  t.equal(
    description,
    `Use one or more of the scopes openid, profile and projects. Request id: ${lines[0]?.request}`,
  )

  const visitor = new Visitor()
  const denied = await linesOf(broker, async () => {
    const { parameters } = authorizationRequest(app)
    const query = new URLSearchParams(parameters).toString()
    const consent = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    await visitor.press(consent, 'Deny', {}, parameters.redirect_uri)
  })
  t.match(denied.at(-1), { reason: 'user_denied', error: 'access_denied', app: app.id })
})

t.test('refused pages and forms have one line; styles, scripts and icons have none', async (t) => {
  const broker = await buildBroker(t)
  const { url } = broker
  const visitor = new Visitor()
  const page = await visitor.open(`${url}/admin/sign-in`)
  const form = { email: 'nobody@example.com', password: 'wrong' }
  const refused = await linesOf(broker, () => visitor.press(page, 'Sign in', form))
  t.match(refused, [{ reason: 'password_wrong', status: 401, path: '/admin/sign-in' }])
  t.equal(refused.length, 1)

  const files = [...page.body.matchAll(/(?:href|src)="([^"]+\.(?:css|js|svg))"/g)]
  t.ok(files.length > 1)
  const assets = await linesOf(broker, async () => {
    for (const [, path = ''] of files) t.equal((await fetch(url + path)).status, 200)
    for (const path of ['/favicon.ico', '/apple-touch-icon.png', '/assets/old.css'])
      await fetch(url + path)
  })
  t.strictSame(assets, [])

  const device = await visitor.open(`${url}/device`)
  const wrong = await linesOf(broker, () =>
    visitor.press(device, 'Continue', { user_code: 'BBBBBBBB' }),
  )
  t.match(wrong, [{ reason: 'user_code_unknown', status: 400 }])
  t.match(await linesOf(broker, () => visitor.open(`${url}/callback?state=a&code=b`)), [
    { reason: 'flow_unknown', status: 400 },
  ])
  t.match(await linesOf(broker, () => visitor.open(`${url}/%zz`)), [{ reason: 'url_malformed' }])
  t.match(await linesOf(broker, () => visitor.open(url)), [{ msg: 'request completed' }])
})

t.test('a CORS refusal is logged with the command, once a minute for each origin', async (t) => {
  const broker = await buildBroker(t)
  await addApp(broker)
  const send = (origin: string, method = 'POST', headers = {}) =>
    fetch(`${broker.url}/oauth/token`, { method, headers: { origin, ...headers } })
  const preflight = (origin: string) =>
    send(origin, 'OPTIONS', { 'access-control-request-method': 'POST' })
  const refusals = async (work: () => Promise<unknown>) =>
    (await linesOf(broker, work)).filter(({ origin }) => origin !== undefined)

  const lines = await refusals(async () => {
    await preflight('https://map.example.com')
    await preflight('https://map.example.com')
    await send('https://map.example.com', 'POST', { 'sec-fetch-site': 'cross-site' })
    await preflight('https://other.example.com')
    await preflight('null')
    await preflight('https://app.example.com')
  })
  t.match(lines, [
    {
      level: INFO,
      reason: 'origin_not_registered',
      origin: 'https://map.example.com',
      fix: 'ellipsis-broker app set CLIENT_ID --origin https://map.example.com --add',
    },
    { origin: 'https://other.example.com' },
    { origin: 'null', fix: undefined },
  ])
  t.equal(lines.length, 3)
  const repeated = await refusals(async () => broker.clock.advance(61_000))
  t.match(repeated, [{ origin: 'https://map.example.com', repeats: 2 }])
})

t.test('a flood from many addresses and with invented names stays short', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_TRUST_PROXY: '127.0.0.1' } })
  const FLOOD = 1500
  const lines = await linesOf(broker, async () => {
    for (let count = 0; count < FLOOD; count++) {
      const headers = { 'x-forwarded-for': `10.0.${count >> 8}.${count & 255}` }
      const form = { grant_type: 'x', client_id: `invented-${count}` }
      await broker.app.inject({
        ...{
          method: 'POST',
          url: '/oauth/introspect',
          payload: new URLSearchParams(form).toString(),
        },
        headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      })
    }
  })
  t.equal(lines.length, 1001)
  t.match(lines.at(-1), { address: 'many' })
  const repeated = await linesOf(broker, async () => broker.clock.advance(61_000))
  t.match(repeated, [{ address: 'many', repeats: FLOOD - 1001 }])
  t.equal(repeated.length, 1)
})

t.test('exchanges that succeed are not logged', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  t.strictSame(await linesOf(broker, () => exchange(broker, brokerToken)), [])
})

t.test('what happens at Ellipsis Drive is logged with the app', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  broker.standIn.addFault({ endpoint: 'token', kind: 'invalid_client', times: 1 })
  const lines = await linesOf(broker, () => authorize(broker, app))
  const failure = lines.find(({ reason }) => reason === 'own_client_refused')
  t.match(failure, { app: app.id, redirect_host: 'app.example.com', level: 50 })
  t.match(failure?.msg, /refused the broker’s own client.*ELLIPSIS_CLIENT_SECRET/)
})

t.test('no request writes a line of its own into the log', async (t) => {
  const broker = await buildBroker(t)
  const forged = 'x\n{"level":50,"msg":"forged"}\r\n\u2028\u001b[2J'
  await postForm(`${broker.url}/oauth/token`, {
    grant_type: forged,
    client_id: forged,
    code: forged,
  })
  const query = new URLSearchParams({ client_id: forged, redirect_uri: forged, state: forged })
  await fetch(`${broker.url}/oauth/authorize?${query.toString()}`)
  await fetch(`${broker.url}/${encodeURIComponent(forged)}`, { headers: { origin: 'x\tforged' } })
  const lines = broker.logged
    .join('')
    .split(/\r?\n/)
    .filter((line) => line !== '')
  t.ok(lines.length >= 3)
  for (const line of lines) {
    const { msg } = JSON.parse(line) as { msg: string }
    t.not(msg, 'forged')
    t.notMatch(line, /[\p{Cc}\u2028]/u)
  }
})
