import { request as httpRequest } from 'node:http'
import t from 'tap'
import { addApp, buildBroker, connect, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { PAGE, addSessionApp, cookieNameOf, fromPage, grantOf, signIn } from './begin.ts'

const EVIL = 'https://evil.example'

async function begin(t: Parameters<typeof buildBroker>[0]) {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  return { broker, app, ...(await signIn(broker, app)) }
}

/** A request with raw header lines, which `fetch` would not send. Returns the status. */
const sendLines = ({ url }: TestBroker, headers: string[]): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const { port, hostname, host } = new URL(url)
    const lines = ['host', host, ...headers]
    const sent = httpRequest({ port, hostname, path: '/session', headers: lines }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    sent.on('error', reject).end()
  })

t.test('a session needs its cookie, its header and its origin', async (t) => {
  const { broker, app, cookie } = await begin(t)
  const other = await addSessionApp(broker, { redirectUris: ['http://127.0.0.1:6000/map'] })
  const token = await addApp(broker, { redirectUris: ['http://127.0.0.1:7000/map'] })
  const refused: [string, Record<string, string | undefined>, number, string][] = [
    ['no header', { 'x-client-id': undefined }, 400, 'invalid_request'],
    ['an empty header', { 'x-client-id': '' }, 400, 'invalid_request'],
    ['a malformed id', { 'x-client-id': `${app.id}=x; a` }, 400, 'invalid_request'],
    ['an unknown app', { 'x-client-id': `app_${'a'.repeat(22)}` }, 400, 'unauthorized_client'],
    ['an app without sessions', { 'x-client-id': token.id }, 400, 'unauthorized_client'],
    ['another app', { 'x-client-id': other.id }, 403, 'access_denied'],
    ['no origin', { origin: undefined }, 403, 'access_denied'],
    ['the origin null', { origin: 'null' }, 403, 'access_denied'],
    ['another origin', { origin: EVIL }, 403, 'access_denied'],
    ['another port', { origin: 'http://127.0.0.1:5174' }, 403, 'access_denied'],
    ['another scheme', { origin: 'https://127.0.0.1:5173' }, 403, 'access_denied'],
    ['the broker’s origin', { origin: broker.url }, 403, 'access_denied'],
    ['another site', { 'sec-fetch-site': 'cross-site' }, 403, 'access_denied'],
    ['the broker itself', { 'sec-fetch-site': 'same-origin' }, 403, 'access_denied'],
    ['a navigation', { 'sec-fetch-site': 'none' }, 403, 'access_denied'],
    ['with Authorization', { authorization: `Bearer ${cookie}` }, 400, 'invalid_request'],
    ['with empty Authorization', { authorization: '' }, 400, 'invalid_request'],
    ['no cookie', { cookie: undefined }, 401, 'invalid_token'],
    ['a cookie of another name', { cookie: `session=${cookie}` }, 401, 'invalid_token'],
    ['nonsense', { cookie: `${cookieNameOf(app)}=x` }, 401, 'invalid_token'],
    [
      'two cookies',
      { cookie: `${cookieNameOf(app)}=x; ${cookieNameOf(app)}=${cookie}` },
      401,
      'invalid_token',
    ],
  ]
  for (const method of ['GET', 'DELETE']) {
    for (const [name, headers, status, error] of refused) {
      if (method === 'DELETE' && status === 401) continue
      const answer = await fromPage(broker, app, cookie, { method, headers })
      t.match(answer, { status, body: { error } }, `${method}: ${name}`)
      if (headers.origin !== undefined || headers['x-client-id'] !== undefined)
        t.equal(answer.headers.get('access-control-allow-credentials'), null, name)
    }
  }
  // The cookie of one app presented as another's, from that app's own page.
  const stolen = { cookie: `${cookieNameOf(other)}=${cookie}`, origin: 'http://127.0.0.1:6000' }
  const headers = { ...stolen, 'x-client-id': other.id }
  t.match(await fromPage(broker, other, '', { headers }), { status: 401 })
  const grant = await broker.services.store.getGrant(grantOf(cookie))
  t.equal(grant?.revokedAt, null)
  t.match(await fromPage(broker, app, cookie), { status: 200 })
})

t.test('repeated headers are refused', async (t) => {
  const { broker, app, cookie } = await begin(t)
  const good = ['origin', PAGE, 'x-client-id', app.id, 'cookie', `${cookieNameOf(app)}=${cookie}`]
  t.equal(await sendLines(broker, good), 200)
  t.equal(await sendLines(broker, ['origin', EVIL, ...good]), 403)
  t.equal(await sendLines(broker, [...good, 'origin', EVIL]), 403)
  t.equal(await sendLines(broker, [...good, 'x-client-id', app.id]), 400)
  t.equal(await sendLines(broker, [...good, 'cookie', `${cookieNameOf(app)}=${cookie}`]), 401)
  t.equal(await sendLines(broker, ['cookie', 'a=b', ...good]), 200)
})

t.test('a form of another site changes nothing', async (t) => {
  const { broker, app, cookie } = await begin(t)
  // If browsers sent the cookie: a form has no headers of its own.
  const headers = { cookie: `${cookieNameOf(app)}=${cookie}`, origin: EVIL }
  for (const method of ['POST', 'GET']) {
    const sent = await fetch(`${broker.url}/session?_method=DELETE&x-client-id=${app.id}`, {
      method,
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      ...(method === 'POST' && { body: `_method=DELETE&x-client-id=${app.id}` }),
    })
    t.ok(sent.status >= 400, `${method}: ${sent.status}`)
    await sent.text()
  }
  t.match(await fromPage(broker, app, cookie), { status: 200 })
})

t.test('no other endpoint accepts the cookie', async (t) => {
  const { broker, app, cookie } = await begin(t)
  const headers = { origin: PAGE, 'x-client-id': app.id, cookie: `${cookieNameOf(app)}=${cookie}` }
  const post = (path: string, form: Record<string, string> = {}) =>
    postForm(broker.url + path, { client_id: app.id, ...form }, headers)
  const exchanged = await fetch(`${broker.url}/exchange`, { method: 'POST', headers })
  t.equal(exchanged.status, 401)
  t.equal(exchanged.headers.get('access-control-allow-credentials'), null)
  const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange'
  t.match(await post('/oauth/token', { grant_type: grantType }), { status: 400 })
  t.match(await post('/oauth/userinfo'), { status: 401 })
  t.match(await post('/oauth/revoke', { token: 'x' }), { status: 200 })
  t.match(await post('/oauth/introspect', { token: 'x' }), { status: 401 })
  for (const path of ['/admin', '/admin/users', '/admin/apps']) {
    // Neither under its own name nor under that of an admin's session.
    for (const name of [cookieNameOf(app), 'session']) {
      const answer = await fetch(broker.url + path, {
        headers: { cookie: `${name}=${cookie}` },
        redirect: 'manual',
      })
      t.equal(answer.status, 303, path)
      t.match(answer.headers.get('location'), '/admin/sign-in')
    }
  }
  t.match(await fromPage(broker, app, cookie), { status: 200 })
})

t.test('only routes with sessions, and origins of apps with them, get credentials', async (t) => {
  const { broker, app } = await begin(t)
  const plain = 'http://127.0.0.1:7000'
  await addApp(broker, { redirectUris: [`${plain}/map`] })
  const preflight = async (
    path: string,
    origin: string,
    headers = 'X-Client-Id',
    method = 'GET',
  ) => {
    const answer = await fetch(broker.url + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': method,
        'access-control-request-headers': headers,
      },
    })
    return {
      status: answer.status,
      credentials: answer.headers.get('access-control-allow-credentials'),
      origin: answer.headers.get('access-control-allow-origin'),
      headers: answer.headers.get('access-control-allow-headers'),
      vary: answer.headers.get('vary'),
    }
  }
  for (const method of ['GET', 'DELETE']) {
    const granted = await preflight('/session', PAGE, 'content-type, x-client-id', method)
    t.match(granted, { status: 204, credentials: 'true', origin: PAGE, headers: /x-client-id/ })
    t.match(granted.vary, 'Origin')
  }
  const none = { credentials: null }
  t.match(await preflight('/session', PAGE, 'authorization'), none, 'not for a session')
  t.match(await preflight('/session', plain), none, 'an app without sessions')
  t.match(await preflight('/session', 'http://127.0.0.1:5174'), none, 'another port')
  t.match(await preflight('/session', EVIL), { ...none, origin: null, status: 403 })
  t.match(await preflight('/session', 'null'), { ...none, origin: null })
  for (const path of [
    '/exchange',
    '/oauth/token',
    '/oauth/revoke',
    '/oauth/device_authorization',
  ]) {
    const answer = await preflight(path, PAGE, 'x-client-id', 'POST')
    t.match(answer, { ...none, origin: PAGE }, path)
    t.notMatch(answer.headers, /x-client-id/)
  }
  t.match(await preflight('/session', PAGE, 'x-client-id', 'PUT'), { ...none, origin: null })
  const read = await fromPage(broker, app, '', { headers: { origin: plain } })
  t.equal(read.headers.get('access-control-allow-credentials'), null)
  const varied = await fromPage(broker, app, '')
  for (const name of ['Origin', 'Authorization', 'Cookie', 'X-Client-Id'])
    t.match(varied.headers.get('vary'), name)
})

t.test('a wildcard of the loopback port gives no credentials', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker, { redirectUris: ['http://127.0.0.1/map'] })
  const { cookie } = await signIn(broker, app)
  const headers = { origin: 'http://127.0.0.1:9999' }
  const answer = await fromPage(broker, app, cookie, { headers })
  t.match(answer, { status: 403, body: { error: 'access_denied' } })
  t.equal(answer.headers.get('access-control-allow-credentials'), null)
})

t.test('the log has the reason and the app, and never the token', async (t) => {
  const { broker, app, cookie } = await begin(t)
  await fromPage(broker, app, '')
  await fromPage(broker, app, cookie, { headers: { origin: EVIL } })
  await fromPage(broker, app, cookie, { method: 'DELETE' })
  await fromPage(broker, app, cookie)
  const log = broker.logged.join('')
  for (const reason of ['session_missing', 'origin_of_another_app', 'grant_revoked'])
    t.match(log, `"reason":"${reason}"`)
  t.match(log, `"app":"${app.id}"`)
  t.notMatch(log, cookie.split('.')[2] ?? '-')
})

t.test('a broker token of another app is worth nothing in the cookie', async (t) => {
  const { broker, app } = await begin(t)
  const token = await addApp(broker)
  const { brokerToken } = await connect(broker, token)
  t.match(await fromPage(broker, app, brokerToken), { status: 401, setCookie: /Max-Age=0/ })
})
