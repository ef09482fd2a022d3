import t from 'tap'
import type { Test } from 'tap'
import type { App } from '../../../db/store.ts'
import { addApp, authorize, buildBroker, connect, exchange, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { Secret } from '../../../server/secret.ts'
import { buildDrive } from '../../drive/upstream.ts'
import { createProver } from '../../oauth/dpop/prover.ts'

const DAY_MS = 86_400_000
const ROOT = '/account/root/myDrive'

/** Sends a request with a broker token, as an app does. */
async function send(
  { url }: TestBroker,
  brokerToken: string,
  method: string,
  path: string,
  body?: object,
) {
  const answer = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${brokerToken}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  const json = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  return { status: answer.status, headers: answer.headers, body: json }
}

const create = async (broker: TestBroker, brokerToken: string, body: object) =>
  (await send(broker, brokerToken, 'POST', '/links', body)).body as {
    id: string
    url: string
    expires_at: number
  }

const list = async (broker: TestBroker, brokerToken: string) =>
  (await send(broker, brokerToken, 'GET', '/links')).body.links as Record<string, unknown>[]

/** A broker with a connected app, and one item of the user's drive. */
async function begin(t: Test, settings: Partial<App> = {}) {
  const broker = await buildBroker(t)
  const app = await addApp(broker, settings)
  const connected = await connect(broker, app)
  const { body } = await exchange(broker, connected.brokerToken)
  const headers = { authorization: `Bearer ${String(body.access_token)}` }
  const drive = await fetch(`${broker.env.ELLIPSIS_API_URL}${ROOT}`, { headers })
  const { result } = (await drive.json()) as { result: { id: string; name: string }[] }
  const [item = { id: '', name: '' }, other = item] = result
  return { broker, app, ...connected, item, other }
}

const statusOf = async (url: string): Promise<number> => {
  const answer = await fetch(url)
  await answer.text()
  return answer.status
}

t.test('a link reads its path without a token, until it expires', async (t) => {
  const { broker, brokerToken, item, other } = await begin(t)
  const path = `/path/${item.id}`
  const made = await send(broker, brokerToken, 'POST', '/links', { path })
  t.equal(made.status, 201)
  t.equal(made.headers.get('cache-control'), 'no-store')
  const { url, expires_at: expiresAt } = made.body as { url: string; expires_at: number }
  t.match(url, new RegExp(`^${broker.url}/l/[\\w-]{43}${path}$`))
  t.ok(Math.abs(expiresAt - (broker.clock.now() + DAY_MS) / 1000) < 10)

  const answer = await fetch(url, { headers: { origin: 'https://any.example', cookie: 'a=b' } })
  t.equal(answer.status, 200)
  t.match(await answer.json(), { id: item.id, name: item.name })
  const headers = Object.fromEntries(answer.headers)
  t.match(headers, {
    'access-control-allow-origin': '*',
    'referrer-policy': 'no-referrer',
    'cache-control': /^private/,
    'content-type': /json/,
    'content-security-policy': /sandbox/,
    'cross-origin-resource-policy': 'cross-origin',
    'x-content-type-options': 'nosniff',
  })
  t.notOk(headers['set-cookie'])
  t.notOk(headers['access-control-allow-credentials'])

  const head = await fetch(url, { method: 'HEAD' })
  t.equal(head.headers.get('x-robots-tag'), 'noindex')
  t.equal(await head.text(), '')
  const changed = await fetch(url, { method: 'DELETE' })
  t.equal(changed.status, 405)
  t.match(await changed.text(), /GET/)
  t.equal(await statusOf(url.replace(item.id, other.id)), 404)
  t.equal(await statusOf(`${url}/folder/list`), 404)
  t.equal(await statusOf(`${url}?token=anything`), 200)

  const preflight = await fetch(url, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://any.example',
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'range',
    },
  })
  t.equal(preflight.status, 204)
  t.match(Object.fromEntries(preflight.headers), {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'GET',
    'access-control-allow-headers': '*',
  })

  broker.clock.advance(DAY_MS - 30_000)
  t.equal(await statusOf(url), 200)
  broker.clock.advance(30_000)
  t.equal(await statusOf(url), 404)
})

t.test('placeholders, prefixes and fixed parameters work as map libraries use them', async (t) => {
  const { broker, brokerToken, item } = await begin(t)
  const tiles = await create(broker, brokerToken, { path: '/path/{z}' })
  t.match(tiles.url, /\/path\/\{z\}$/)
  t.equal(await statusOf(tiles.url.replace('{z}', item.id)), 200)
  t.equal(await statusOf(tiles.url.replace('/path/{z}', ROOT)), 404)

  const all = await create(broker, brokerToken, { path: `${ROOT.slice(0, -8)}/`, prefix: true })
  t.equal(await statusOf(`${all.url}/trash?pageSize=2`), 200)
  t.equal(await statusOf(all.url.replace('/root', '')), 404)
  t.equal(await statusOf(`${all.url}/../../account`), 404)
  t.equal(await statusOf(`${all.url}/%2e%2e/account`), 404)

  const path = `${ROOT}?type=["raster"]&pageSize={n}`.replaceAll('"', '%22')
  const rasters = await create(broker, brokerToken, { path })
  const read = async (url: string) =>
    ((await (await fetch(url)).json()) as { result: { type: string }[] }).result
  const found = await read(rasters.url.replace('{n}', '1'))
  t.match(found, [{ type: 'raster' }])
  t.equal(found.length, 1)
  const overridden = rasters.url.replace(/\?.*/, '?TYPE=["folder"]&type=["folder"]&pageSize=50')
  t.ok((await read(overridden)).every(({ type }) => type === 'raster'))
})

t.test('what gives nothing is 404, the same for all, and locks nobody out', async (t) => {
  const { broker, app, brokerToken, connectionId, item } = await begin(t)
  const { services, clock, url } = broker
  const path = `/path/${item.id}`
  const answers: unknown[] = []
  const ask = async (target: string, init: RequestInit = {}) => {
    const answer = await fetch(target, init)
    const { date, 'x-request-id': id, ...headers } = Object.fromEntries(answer.headers)
    t.ok(date && id)
    answers.push({ status: answer.status, headers, body: await answer.text() })
  }
  const ended = async (end: (token: string, id: string, grantId: string) => Promise<unknown>) => {
    const { brokerToken: token, grantId } = await connect(broker, app)
    const link = await create(broker, token, { path })
    t.equal(await statusOf(link.url), 200)
    await end(token, link.id, grantId)
    await ask(link.url)
    return link
  }

  await ask(`${url}/l/${'A'.repeat(43)}${path}`)
  await ask(`${url}/l/x`)
  const good = await create(broker, brokerToken, { path })
  await ask(`${good.url}/more`)
  await ask(good.url.replace('/path/', '//path/'))
  await ask(good.url.replace(path, ''))
  await ended(async (token, id) => {
    const gone = await send(broker, token, 'DELETE', `/links/${id}`)
    t.equal(gone.status, 204)
    t.equal((await send(broker, token, 'DELETE', `/links/${id}`)).status, 404)
  })
  await ended((token) => postForm(`${url}/oauth/revoke`, { token, client_id: app.id }))
  await ended((_token, _id, grantId) => services.connections.revokeGrant(grantId, 'cli'))
  await ended(async () => {
    const rules = { allow: ['GET /account'] }
    await services.apps.set(app.id, { access: 'proxy', ...rules }, 'cli')
  })
  await services.apps.set(app.id, { access: 'token', allow: [] }, 'cli')
  await ended(async () => clock.advance(DAY_MS))
  const last = await create(broker, brokerToken, { path })
  await services.connections.revoke(connectionId, 'cli')
  await ask(last.url)

  t.equal(answers.length, 11)
  for (const answer of answers) t.strictSame(answer, answers[0])
  t.match(answers[0], { status: 404, headers: { 'access-control-allow-origin': '*' } })

  const other = await connect(broker, app, { user: 'bo' })
  const { url: live } = await create(broker, other.brokerToken, { path: ROOT })
  t.equal(await statusOf(live), 200)
  await services.apps.remove(app.id, 'cli')
  await ask(live)
  t.strictSame(answers.at(-1), answers[0])
})

t.test('hundreds of requests with an expired link block nobody at that address', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '20' } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const { url } = await create(broker, brokerToken, { path: ROOT })
  const expired = url.replace(/\/l\/[^/]+/, `/l/${'x'.repeat(43)}`)
  for (let count = 0; count < 100; count++) t.equal(await statusOf(expired), 404)
  t.equal(await statusOf(url), 200)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const lines = broker.logged.filter(
    (line) => line.includes('link_unknown') && line.includes('"level":30'),
  )
  t.equal(lines.length, 1, 'repetitions are summarised')
})

t.test('a link only reads, and leads to no tokens, whatever its app may do', async (t) => {
  const drive = await buildDrive(t, (_request, response) => response.end('answer'))
  const { broker, brokerToken, upstream } = drive
  const wfs = await create(broker, brokerToken, { path: '/ogc/wfs/7' })
  t.equal(await statusOf(`${wfs.url}?REQUEST=GetFeature`), 200)
  const sent = upstream.requests.length
  for (const query of ['REQUEST=Transaction', 'request=LockFeature', 'a=1;Request=Transaction'])
    t.equal(await statusOf(`${wfs.url}?${query}`), 404, query)
  t.equal(upstream.requests.length, sent)
  t.equal((await drive.get('/ogc/wfs/7?REQUEST=Transaction')).status, 200, 'its app may do more')

  const account = await create(broker, brokerToken, { path: '/account', prefix: true })
  t.equal(await statusOf(`${account.url}/security/accessTokens`), 404)
  for (const path of ['/ogc/wfs/7?REQUEST=Transaction', '/account/security/accessTokens'])
    t.equal((await send(broker, brokerToken, 'POST', '/links', { path })).status, 403, path)
})

t.test('an app lists and revokes its own links, from all devices of a user', async (t) => {
  const { broker, app, brokerToken } = await begin(t)
  const label = `  Roads \u202e${'é'.repeat(190)}`
  const first = await create(broker, brokerToken, { path: ROOT, label, expires_in: 60 })
  broker.clock.advance(1000)
  const second = await create(broker, brokerToken, { path: '/path/{z}', prefix: true })
  await statusOf(first.url)
  await statusOf(first.url)
  await broker.services.usage.flush()
  const device = await connect(broker, app)
  const expected = [
    { id: second.id, path: '/path/{z}', prefix: true, label: '', last_used_at: null, uses: 0 },
    { id: first.id, path: ROOT, prefix: false, last_used_at: Number, uses: 2 },
  ]
  for (const token of [brokerToken, device.brokerToken]) {
    const found = await list(broker, token)
    t.match(found, expected)
    t.equal(found[1]?.label, `Roads ${'é'.repeat(190)}`)
    t.notMatch(JSON.stringify(found), first.url.split('/')[4], 'no secret')
  }

  const others = [
    (await connect(broker, await addApp(broker))).brokerToken,
    (await connect(broker, app, { user: 'bo' })).brokerToken,
  ]
  for (const token of others) {
    t.strictSame(await list(broker, token), [])
    const foreign = await send(broker, token, 'DELETE', `/links/${first.id}`)
    const unknown = await send(broker, token, 'DELETE', '/links/link_unknown')
    t.equal(foreign.status, 404)
    t.strictSame(foreign.body, unknown.body)
  }
  t.equal((await send(broker, device.brokerToken, 'DELETE', `/links/${first.id}`)).status, 204)
  t.equal(await statusOf(first.url), 404)
  broker.clock.advance(DAY_MS)
  t.strictSame(await list(broker, brokerToken), [], 'expired ones are left out')
  const logged = broker.logged.length
  t.equal((await send(broker, brokerToken, 'DELETE', `/links/${second.id}`)).status, 404)
  const log = broker.logged.slice(logged).join('')
  t.match(log, 'link_unknown')
  t.notMatch(log, 'link_of_another_app')
  const { rows } = await broker.services.store.listEvents({ limit: 10 })
  t.match(
    rows
      .filter(({ action }) => action.startsWith('link.'))
      .map(({ action, actor }) => [action, actor]),
    [
      ['link.revoked', 'app'],
      ['link.created', 'app'],
      ['link.created', 'app'],
    ],
  )
})

t.test('wrong requests are refused with an explanation', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const refuse = async (body: object, text: string | RegExp, token = brokerToken, status = 400) => {
    const answer = await send(broker, token, 'POST', '/links', body)
    t.equal(answer.status, status, JSON.stringify(body))
    t.match(answer.body.error_description, text)
  }
  await refuse({}, 'Send path once')
  await refuse({ path: ROOT, expires_in: 59 }, '60 to 7,776,000')
  await refuse({ path: ROOT, expires_in: 7_776_001 }, '60 to 7,776,000')
  await refuse({ path: ROOT, expires_in: '3600' }, 'as a number')
  await refuse({ path: ROOT, prefix: 'yes' }, 'true or false')
  await refuse({ path: ROOT, label: 'x'.repeat(201) }, '200 characters')
  await refuse({ path: 'https://evil.example/' }, 'begins with a slash')
  await refuse({ path: '/', prefix: true }, 'at least one segment')
  await refuse({ path: ROOT }, 'broker token', 'nonsense', 401)
  const { brokerToken: identity } = await connect(broker, await addApp(broker), {
    parameters: { scope: 'openid' },
  })
  await refuse({ path: ROOT }, 'gives no access', identity, 403)
  const narrow = await addApp(broker, { access: 'proxy', allow: ['GET /path/**'] })
  const { brokerToken: limited } = await connect(broker, narrow)
  await refuse({ path: ROOT }, 'does not allow', limited, 403)
  const { status } = await send(broker, brokerToken, 'PUT', '/links')
  t.equal(status, 405)
})

t.test('a link does not outlive its grant', async (t) => {
  const { broker, brokerToken } = await begin(t, { grantLifetimeSeconds: 3600 })
  const { url, expires_at: expiresAt } = await create(broker, brokerToken, { path: ROOT })
  t.ok(expiresAt * 1000 <= broker.clock.now() + 3_600_000)
  broker.clock.advance(3_570_000)
  t.equal(await statusOf(url), 200)
  broker.clock.advance(30_000)
  t.equal(await statusOf(url), 404)
})

t.test('a link ends when the broker token of its grant expires', async (t) => {
  const { broker, app, brokerToken } = await begin(t, { tokenLifetimeSeconds: 3600 })
  const { url } = await create(broker, brokerToken, { path: ROOT })
  const device = await connect(broker, app)
  const other = await create(broker, device.brokerToken, { path: ROOT })
  broker.clock.advance(1_800_000)
  const renewed = await exchange(broker, device.brokerToken)
  t.type(renewed.body.broker_token, 'string')
  t.equal(await statusOf(url), 200)
  broker.clock.advance(1_800_000)
  t.equal(await statusOf(url), 404)
  t.equal(await statusOf(other.url), 200, 'the token of the other grant was extended')
})

t.test('a policy that narrows while a link is read hides the link', async (t) => {
  const drive = await buildDrive(t, (_request, response) => response.end('answer'))
  const { broker, app, brokerToken, upstream } = drive
  const link = await create(broker, brokerToken, { path: '/path/1' })
  const pass = upstream.handle
  upstream.handle = async (request, response) => {
    if (request.url?.startsWith('/v3/oauth'))
      await broker.services.apps.set(app.id, { access: 'proxy', allow: ['GET /other'] }, 'cli')
    await pass(request, response)
  }
  broker.clock.advance(2 * 3_600_000)
  const answer = await fetch(link.url)
  t.equal(answer.status, 404)
  t.notMatch(await answer.text(), 'policy')
  t.equal(upstream.requests.length, 0)
})

t.test(
  'a connection that needs reconnecting, and an outage, are 503 with Retry-After',
  async (t) => {
    const { broker, brokerToken } = await begin(t)
    const { url } = await create(broker, brokerToken, { path: ROOT })
    const ask = async () => {
      const answer = await fetch(url)
      t.equal(answer.status, 503)
      t.match(answer.headers.get('retry-after'), /^\d+$/)
      const body = await answer.text()
      t.notMatch(body, /reconnect_url|amelie/)
    }
    broker.clock.advance(3_601_000)
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 10 })
    await ask()
    broker.standIn.clearFaults()
    broker.clock.advance(3_600_000)
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 10 })
    await ask()
    await ask()
  },
)

t.test('an app with DPoP proves its key for each request', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { dpop: 'required' })
  const prover = await createProver(broker)
  const { returned, verifier, parameters } = await authorize(broker, app)
  const { body } = await prover.post('/oauth/token', {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  })
  const token = String(body.access_token)
  const ask = async (method: string, path: string, json?: object, htu = path) => {
    const dpop = await prover.prove(htu, token, { claims: { htm: method } })
    const answer = await fetch(broker.url + path, {
      method,
      headers: {
        ...{ authorization: `DPoP ${token}`, dpop },
        ...(json && { 'content-type': 'application/json' }),
      },
      ...(json && { body: JSON.stringify(json) }),
    })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as { id: string }) }
  }
  const made = await ask('POST', '/links', { path: ROOT })
  t.equal(made.status, 201)
  t.equal((await send(broker, token, 'GET', '/links')).status, 401)
  t.equal((await ask('GET', '/links')).status, 200)
  const path = `/links/${(made.body as { id: string }).id}`
  t.equal((await ask('DELETE', path, undefined, '/links/other')).status, 401)
  t.equal((await ask('DELETE', path)).status, 204)
})

t.test('pages of the app’s origins may manage links', async (t) => {
  const { broker, app } = await begin(t)
  const origin = new URL(app.redirectUris[0] ?? '').origin
  for (const [path, method] of [
    ['/links', 'POST'],
    ['/links', 'GET'],
    ['/links/link_x', 'DELETE'],
  ]) {
    const ask = (from: string) =>
      fetch(broker.url + path, {
        method: 'OPTIONS',
        headers: { origin: from, 'access-control-request-method': method ?? '' },
      })
    t.equal((await ask(origin)).headers.get('access-control-allow-origin'), origin)
    t.equal((await ask('https://evil.example')).status, 403)
  }
})

t.test('a link is checked again while it is read', async (t) => {
  const { broker, brokerToken, grantId } = await begin(t)
  const { url } = await create(broker, brokerToken, { path: ROOT })
  const [, secret = ''] = /\/l\/([^/]+)/.exec(url) ?? []
  const { caller } = await broker.services.links.open(new Secret(secret), 'GET', ROOT)
  await caller.check()
  await broker.services.connections.revokeGrant(grantId, 'cli')
  await t.rejects(caller.check(), { code: 'link_not_found' })
})
