import t from 'tap'
import type { App } from '../db/store.ts'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from './helper.ts'
import type { TestBroker } from './helper.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

const swapAtToken = (broker: TestBroker, brokerToken: string, more: Record<string, string> = {}) =>
  postForm(`${broker.url}/oauth/token`, {
    grant_type: TOKEN_EXCHANGE,
    subject_token: brokerToken,
    subject_token_type: JWT,
    ...more,
  })

async function begin(
  t: Parameters<typeof buildBroker>[0],
  options = {},
  settings: Partial<App> = {},
) {
  const broker = await buildBroker(t, options)
  const app = await addApp(broker, settings)
  return { broker, app, ...(await connect(broker, app)) }
}

t.test('a swap answers with Ellipsis Drive’s access token, at both endpoints', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const one = await exchange(broker, brokerToken)
  t.equal(one.status, 200)
  t.match(one.body, { token_type: 'Bearer', scope: 'projects' })
  t.ok(broker.standIn.issued().includes(String(one.body.access_token)))
  const left = Number(one.body.expires_in)
  t.ok(left > 3500 && left <= 3600)
  t.ok(Math.abs(Number(one.body.expires_at) - Date.now() / 1000 - left) < 3)
  t.equal(one.headers.get('cache-control'), 'no-store')

  const two = await swapAtToken(broker, brokerToken)
  t.equal(two.status, 200)
  t.match(two.body, { access_token: one.body.access_token, issued_token_type: ACCESS_TOKEN })
  t.equal(broker.standIn.calls.refresh, 0, 'the access token of the authorization still lives')
})

t.test('an expired access token is refreshed, once', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const before = await exchange(broker, brokerToken)
  broker.clock.advance(3_590_000)
  const after = await exchange(broker, brokerToken)
  t.equal(after.status, 200)
  t.not(after.body.access_token, before.body.access_token)
  await exchange(broker, brokerToken)
  t.equal(broker.standIn.calls.refresh, 1)
})

t.test('min_ttl is what the answer must have left; a fresh token always does', async (t) => {
  const { broker, brokerToken } = await begin(t, { switches: { tokenLifetime: 300 } })
  await exchange(broker, brokerToken, { min_ttl: 200 })
  t.equal(broker.standIn.calls.refresh, 0)
  broker.clock.advance(150_000)
  await exchange(broker, brokerToken, { min_ttl: 200 })
  t.equal(broker.standIn.calls.refresh, 1)
  t.equal((await exchange(broker, brokerToken, { min_ttl: 9999 })).status, 200)
  t.equal(broker.standIn.calls.refresh, 2)
  await exchange(broker, brokerToken, { min_ttl: 9999 })
  t.equal(broker.standIn.calls.refresh, 2, 'asking again at once changes nothing')
  broker.clock.advance(250_000)
  await exchange(broker, brokerToken, { min_ttl: 0 })
  t.equal(broker.standIn.calls.refresh, 3, 'the broker’s own floor of 60 s')
})

t.test('force wants a token fetched after the request came, once in ten seconds', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const before = await exchange(broker, brokerToken)
  const forced = await exchange(broker, brokerToken, { force: true })
  t.equal(forced.status, 200)
  t.not(forced.body.access_token, before.body.access_token)
  const again = await exchange(broker, brokerToken, { force: true })
  t.match(again, { status: 429, body: { error: 'slow_down', retry_after: Number } })
  t.ok(Number(again.headers.get('retry-after')) <= 10)
  t.equal((await exchange(broker, brokerToken)).body.access_token, forced.body.access_token)
  broker.clock.advance(10_001)
  t.equal((await swapAtToken(broker, brokerToken, { force: 'true' })).status, 200)
})

t.test('a forced swap does not join a refresh that began before it', async (t) => {
  const { broker, brokerToken } = await begin(t, { switches: { tokenDelay: 300 } })
  broker.clock.advance(3_590_000)
  const unforced = exchange(broker, brokerToken)
  await new Promise((resolve) => setTimeout(resolve, 150))
  const forced = exchange(broker, brokerToken, { force: true })
  const tokens = (await Promise.all([unforced, forced])).map(({ body }) => body.access_token)
  t.not(tokens[0], tokens[1])
  t.equal(broker.standIn.calls.refresh, 2)
})

t.test('a thousand simultaneous swaps of an expired token make one call upstream', async (t) => {
  const { broker, brokerToken } = await begin(t, {
    switches: { tokenDelay: 50, rotation: 'always' },
  })
  broker.clock.advance(3_590_000)
  const answers = await Promise.all(
    Array.from({ length: 1000 }, () => exchange(broker, brokerToken)),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1)
  t.equal(broker.standIn.calls.refresh, 1)
})

t.test('what the body says wrongly is refused as it is', async (t) => {
  const { broker, brokerToken } = await begin(t)
  for (const body of [
    { min_ttl: '60' },
    { min_ttl: -1 },
    { min_ttl: 1.5 },
    { force: 'true' },
    [1],
  ]) {
    t.match(await exchange(broker, brokerToken, body), {
      status: 400,
      body: { error: 'invalid_request' },
    })
  }
  for (const more of [{ min_ttl: 'x' }, { min_ttl: '-1' }, { force: 'yes' }]) {
    t.match(await swapAtToken(broker, brokerToken, more), {
      status: 400,
      body: { error: 'invalid_request' },
    })
  }
  const post = (path: string, type: string, body: string) =>
    fetch(broker.url + path, { method: 'POST', headers: { 'content-type': type }, body })
  t.equal((await post('/exchange', 'text/plain', 'x')).status, 415)
  t.equal((await post('/exchange', 'application/json', '{"min_ttl":')).status, 400)
  t.equal((await post('/oauth/token', 'application/json', '{}')).status, 415)
  const wrongMethod = await fetch(`${broker.url}/exchange`)
  t.equal(wrongMethod.status, 405)
  t.equal(wrongMethod.headers.get('allow'), 'POST')
  const large = await post(
    '/oauth/token',
    'application/x-www-form-urlencoded',
    'a='.padEnd(50_000, 'x'),
  )
  t.equal(large.status, 413)
  t.equal((await fetch(`${broker.url}/nothing`)).status, 404)
})

t.test('the error table', async (t) => {
  const { broker, brokerToken: token, connectionId } = await begin(t)
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const refresh = (refreshToken: string) =>
    postForm(`${broker.url}/oauth/token`, {
      grant_type: 'refresh_token',
      client_id: app.id,
      refresh_token: refreshToken,
    })
  const refreshToken = await ellipsisToken(broker, app)

  t.match(await exchange(broker, 'nonsense'), { status: 401, body: { error: 'invalid_token' } })
  t.match((await exchange(broker, 'x')).headers.get('www-authenticate'), 'Bearer')
  t.match(await fetch(`${broker.url}/exchange`, { method: 'POST' }), { status: 401 })
  t.match(await swapAtToken(broker, 'nonsense'), {
    status: 400,
    body: { error: 'invalid_request' },
  })
  t.match(await refresh('nonsense'), { status: 400, body: { error: 'invalid_grant' } })
  t.equal((await refresh(refreshToken)).status, 200)

  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  broker.clock.advance(3_590_000)
  const dead = await exchange(broker, token)
  t.match(dead, { status: 403, body: { error: 'reconnect_required' } })
  t.match(dead.body.reconnect_url, `${broker.url}/connect/`)
  t.match(await swapAtToken(broker, token), { status: 403, body: { error: 'reconnect_required' } })
  const refused = await refresh(refreshToken)
  t.match(refused, { status: 400, body: { error: 'invalid_grant', reconnect_url: String } })

  await broker.services.connections.revoke(connectionId, 'test')
  t.match(await exchange(broker, token), {
    status: 401,
    body: { error: 'invalid_token', reconnect_url: String },
  })
  t.match(await swapAtToken(broker, token), {
    status: 400,
    body: { error: 'invalid_request', reconnect_url: String },
  })
  t.match(await refresh(refreshToken), {
    status: 400,
    body: { error: 'invalid_grant', reconnect_url: String },
  })
})

/** Connects an app served with `--tokens ellipsis`; its refresh token is the broker token. */
async function ellipsisToken(broker: TestBroker, app: App): Promise<string> {
  const { returned, verifier } = await authorize(broker, app)
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  })
  if (!broker.standIn.issued().includes(String(body.access_token))) {
    throw new Error('not an access token of Ellipsis Drive')
  }
  return String(body.refresh_token)
}

t.test('upstream away: 503 with Retry-After, and the cached token while it lives', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t)
  broker.clock.advance(3_560_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  t.equal((await exchange(broker, brokerToken)).status, 200, 'it has 40 s left')
  broker.clock.advance(60_000)
  const away = await exchange(broker, brokerToken)
  t.match(away, { status: 503, body: { error: 'temporarily_unavailable', retry_after: Number } })
  t.ok(Number(away.headers.get('retry-after')) > 0)
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.status, 'active', 'an outage marks nobody')

  broker.standIn.clearFaults()
  await new Promise((resolve) => setTimeout(resolve, 2500))
  t.equal((await exchange(broker, brokerToken)).status, 200, 'soon after its end')
})

t.test('the broker’s own client refused: server_error, and no connection is marked', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t)
  broker.clock.advance(3_590_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_client', times: 1 })
  t.match(await exchange(broker, brokerToken), { status: 500, body: { error: 'server_error' } })
  t.equal((await broker.services.connections.show(connectionId)).connection.status, 'active')
  t.ok(broker.logged.some((line) => line.includes('ELLIPSIS_CLIENT_SECRET')))
  broker.clock.advance(10_000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('a refused connection recovers by itself when Ellipsis Drive takes it again', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t)
  broker.clock.advance(3_590_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
  t.equal((await exchange(broker, brokerToken)).status, 403)
  const marked = await broker.services.connections.show(connectionId)
  t.equal(marked.connection.status, 'needs_reconnect')
  t.equal((await exchange(broker, brokerToken)).status, 403, 'retried rarely')
  broker.clock.advance(60_000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const { connection, events } = await broker.services.connections.show(connectionId)
  t.equal(connection.status, 'active')
  const actions = events.map(({ action }) => action)
  t.ok(actions.includes('connection.needs_reconnect'))
  t.ok(actions.includes('connection.recovered'))
})

t.test('one passing refusal of a healthy token is not believed', async (t) => {
  const { broker, brokerToken } = await begin(t, { switches: { rotation: 'always' } })
  broker.clock.advance(3_590_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1 })
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('renewal: on request, and by itself past half the life', async (t) => {
  const { broker, brokerToken } = await begin(t, {}, { tokenLifetimeSeconds: 86_400 })
  const renewed = await swapAtToken(broker, brokerToken, { requested_token_type: JWT })
  t.match(renewed.body, { issued_token_type: JWT, token_type: 'Bearer', expires_in: 86_400 })
  const second = String(renewed.body.access_token)
  const lost = await swapAtToken(broker, brokerToken, { requested_token_type: JWT })
  t.equal(lost.body.access_token, second, 'a lost answer is given again')

  t.equal((await exchange(broker, brokerToken)).status, 200, 'the old one works on')
  t.equal((await exchange(broker, second)).status, 200)
  t.equal((await exchange(broker, brokerToken)).status, 200, 'for five minutes after the first use')

  broker.clock.advance(44_000_000)
  const due = await exchange(broker, second)
  t.equal(due.status, 200)
  t.equal(due.body.broker_token_expires_in, 86_400)
  const third = String(due.body.broker_token)
  t.equal((await exchange(broker, second)).body.broker_token, third)
  t.equal((await exchange(broker, third)).status, 200)
  t.equal((await exchange(broker, brokerToken)).status, 401, 'long superseded')
  t.equal((await exchange(broker, third)).status, 200, 'which ends nothing')
  broker.clock.advance(301_000)
  t.equal((await exchange(broker, second)).status, 401, 'used too late: somebody has a copy')
  t.equal((await exchange(broker, third)).status, 401, 'so the grant is revoked')
  const events = await broker.services.store.listEvents({ limit: 5 })
  t.match(events[0], { action: 'grant.revoked', details: /superseded/ })
})

t.test('confidential apps swap at /oauth/token, with their secret', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const secret = clientSecret?.reveal() ?? ''
  const { returned, verifier } = await authorize(broker, app)
  const basic = `Basic ${Buffer.from(`${app.id}:${secret}`).toString('base64')}`
  const form = {
    grant_type: 'authorization_code',
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  }
  const url = `${broker.url}/oauth/token`
  const bad = await postForm(url, { ...form, client_id: app.id })
  t.match(bad, { status: 401, body: { error: 'invalid_client' } })
  t.match(bad.headers.get('www-authenticate'), 'Basic')
  const wrong = `Basic ${Buffer.from(`${app.id}:x`).toString('base64')}`
  t.equal((await postForm(url, form, { authorization: wrong })).status, 401)
  t.equal((await postForm(url, form, { authorization: 'Basic ?' })).status, 401)
  t.equal((await postForm(url, form)).status, 401)
  const { body } = await postForm(url, form, { authorization: basic })
  const token = String(body.access_token)

  const there = await exchange(broker, token)
  t.match(there, {
    status: 401,
    body: { error: 'invalid_client', error_description: /oauth\/token/ },
  })
  t.equal((await swapAtToken(broker, token)).status, 401)
  const post = { client_id: app.id, client_secret: secret }
  t.equal((await swapAtToken(broker, token, post)).status, 200)
  t.equal((await swapAtToken(broker, token, { ...post, client_secret: 'x' })).status, 401)
  const both = await postForm(url, { ...form, ...post }, { authorization: basic })
  t.equal(both.status, 400)

  const public_ = await addApp(broker)
  t.equal((await swapAtToken(broker, token, { client_id: public_.id })).status, 401, 'another app')

  const next = await broker.services.apps.rotateSecret(app.id, 3600, 'test')
  for (const live of [secret, next.reveal()]) {
    t.equal((await swapAtToken(broker, token, { ...post, client_secret: live })).status, 200)
  }
  broker.clock.advance(3_601_000)
  t.equal((await swapAtToken(broker, token, post)).status, 401)
})

t.test('revocation holds from the next request on', async (t) => {
  const { broker, brokerToken, app, connectionId } = await begin(t)
  const revoke = (token: string, more = {}) =>
    postForm(`${broker.url}/oauth/revoke`, { token, ...more })
  t.equal((await revoke('nonsense')).status, 200)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.equal((await revoke(brokerToken, { client_id: app.id })).status, 200)
  t.equal((await exchange(broker, brokerToken)).status, 401)

  const again = await connect(broker, app)
  t.equal(again.connectionId, connectionId, 'the connection stayed')
  broker.clock.advance(31 * 86_400_000)
  t.equal((await exchange(broker, again.brokerToken)).status, 401, 'expired')
  t.equal((await revoke(again.brokerToken)).status, 200, 'an expired one is taken too')
  const grant = await broker.services.store.getGrant(again.grantId)
  t.type(grant?.revokedAt, 'number')

  const third = await connect(broker, app)
  const { grants } = await broker.services.connections.revokeApp(connectionId, app.id, 'test')
  t.equal(grants, 1)
  t.equal((await exchange(broker, third.brokerToken)).status, 401)

  const fourth = await connect(broker, app)
  t.match(await broker.services.connections.revoke(connectionId, 'test'), {
    grants: 1,
    erased: true,
  })
  t.equal((await exchange(broker, fourth.brokerToken)).status, 401)
  const fifth = await connect(broker, app)
  t.not(fifth.connectionId, connectionId, 'a revoked connection is never revived')
  await broker.services.apps.remove(app.id, 'test')
  t.equal((await exchange(broker, fifth.brokerToken)).status, 401)
})

t.test('a revoked signing key ends what it signed', async (t) => {
  const { broker, brokerToken, app } = await begin(t)
  const [key] = await broker.services.keys.list()
  t.equal(await broker.services.keys.revoke(key?.kid ?? '', 'test'), true)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  const { brokerToken: next } = await connect(broker, app)
  t.equal((await exchange(broker, next)).status, 200)
  const jwks = await fetch(`${broker.url}/.well-known/jwks.json`)
  t.equal(jwks.headers.get('access-control-allow-origin'), '*')
  t.equal(((await jwks.json()) as { keys: [] }).keys.length, 1)
})

t.test('CORS: registered origins on token, exchange and revoke, none elsewhere', async (t) => {
  const { broker } = await begin(t)
  const preflight = (path: string, origin: string) =>
    fetch(broker.url + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    })
  const origin = 'https://app.example.com'
  for (const path of ['/oauth/token', '/exchange', '/oauth/revoke']) {
    const answer = await preflight(path, origin)
    t.equal(answer.headers.get('access-control-allow-origin'), origin, path)
    t.match(answer.headers.get('access-control-allow-headers'), 'authorization')
    const foreign = await preflight(path, 'https://evil.example')
    t.equal(foreign.headers.get('access-control-allow-origin'), null)
    const post = await fetch(broker.url + path, { method: 'POST', headers: { origin } })
    t.equal(post.headers.get('access-control-allow-origin'), origin, 'errors can be read too')
  }
  const page = await fetch(`${broker.url}/oauth/authorize`, { headers: { origin } })
  t.equal(page.headers.get('access-control-allow-origin'), null)
})

t.test('health, readiness and metrics', async (t) => {
  const { broker, brokerToken } = await begin(t, { env: { BROKER_METRICS_TOKEN: 'm'.repeat(32) } })
  await exchange(broker, brokerToken)
  t.same(await (await fetch(`${broker.url}/healthz`)).json(), { status: 'ok' })
  t.match(await (await fetch(`${broker.url}/readyz`)).json(), { status: 'ready', upstream: 'ok' })
  const metrics = await fetch(`${broker.url}/metrics`)
  t.match(await metrics.text(), 'ellipsis_broker_swaps_total{outcome="ok"} 1')
  const proxied = { 'x-forwarded-for': '203.0.113.9' }
  t.equal((await fetch(`${broker.url}/metrics`, { headers: proxied })).status, 404)
  const authorization = `Bearer ${'m'.repeat(32)}`
  t.equal(
    (await fetch(`${broker.url}/metrics`, { headers: { ...proxied, authorization } })).status,
    200,
  )
  const wrong = { ...proxied, authorization: 'Bearer x' }
  t.equal((await fetch(`${broker.url}/metrics`, { headers: wrong })).status, 404)
})
