import t from 'tap'
import { sha256 } from '../../../server/crypto/hash.ts'
import { Visitor } from '../../visitor.ts'
import {
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

const LIMIT = 5
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

const build = (t: Parameters<typeof buildBroker>[0], env: Record<string, string> = {}) =>
  buildBroker(t, { env: { BROKER_FAILURE_LIMIT: String(LIMIT), ...env } })
/** Clients at many addresses, behind a trusted proxy. */
const PROXY = { BROKER_TRUST_PROXY: '127.0.0.1' }
const from = (address: string) => ({ 'x-forwarded-for': address })

const swap = (broker: TestBroker, token: string, headers = {}, form = {}) =>
  postForm(
    `${broker.url}/oauth/token`,
    { grant_type: TOKEN_EXCHANGE, subject_token: token, subject_token_type: JWT, ...form },
    headers,
  )

t.test('an address that fails too often is refused for a while', async (t) => {
  const broker = await build(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  for (let count = 0; count < 3 * LIMIT; count++) {
    t.equal((await swap(broker, brokerToken)).status, 200, 'successes do not count')
  }
  for (let count = 0; count < LIMIT; count++) t.equal((await swap(broker, 'x')).status, 400)
  const limited = await swap(broker, 'x')
  t.match(limited, { status: 429, body: { error: 'slow_down' } })
  const wait = Number(limited.headers.get('retry-after'))
  t.ok(wait > 0 && wait <= 60, `Retry-After: ${wait}`)
  t.equal(limited.body.retry_after, wait)
  for (const path of ['/oauth/token', '/oauth/revoke']) {
    t.equal((await postForm(broker.url + path, { token: brokerToken })).status, 429)
  }
  for (const path of ['/oauth/authorize', '/callback?state=x', '/connect/x']) {
    const page = await fetch(broker.url + path)
    t.equal(page.status, 429)
    t.match(page.headers.get('retry-after'), /^\d+$/)
    t.match(await page.text(), 'too many failed attempts')
  }
  t.equal((await exchange(broker, brokerToken)).status, 200, 'valid swaps still succeed')
  t.equal((await fetch(`${broker.url}/healthz`)).status, 200)
})

t.test('calls from pages of unregistered origins are rejected, and do not count', async (t) => {
  const broker = await build(t)
  const origin = 'https://app.example.com'
  const { brokerToken } = await connect(broker, await addApp(broker, { origins: [origin] }))
  const page = (origin: string) => ({ origin, 'sec-fetch-site': 'cross-site' })
  for (let count = 0; count < 3 * LIMIT; count++) {
    const refused = await swap(broker, 'x', page('https://stranger.example'))
    t.match(refused, { status: 403, body: { error: 'access_denied' } })
  }
  const nameless = { 'sec-fetch-site': 'cross-site' }
  t.equal((await swap(broker, 'x', nameless)).status, 403)
  t.equal(
    (await swap(broker, brokerToken, page(origin))).status,
    200,
    'a registered origin may call',
  )
  t.equal((await swap(broker, 'x', page(origin))).status, 400)
})

t.test('failures at /exchange limit only further failures there', async (t) => {
  const broker = await build(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  for (let count = 0; count < LIMIT; count++) t.equal((await exchange(broker, 'x')).status, 401)
  const limited = await exchange(broker, 'x')
  t.match(limited, { status: 429, body: { error: 'slow_down' } })
  t.match(limited.headers.get('retry-after'), /^[1-9]\d?$/)
  t.equal((await exchange(broker, brokerToken)).status, 200, 'valid swaps still succeed')
  t.equal((await swap(broker, brokerToken)).status, 200)
  t.equal((await swap(broker, 'x')).status, 400)
})

t.test('failures of pages and of revocation count too', async (t) => {
  const broker = await build(t, PROXY)
  const tries: [string, () => Promise<{ status: number }>][] = [
    [
      '203.0.113.1',
      () => postForm(`${broker.url}/oauth/revoke`, { token: 'x' }, from('203.0.113.1')),
    ],
    [
      '203.0.113.2',
      () => {
        const cookie = `flow-${sha256('x')}=${'A'.repeat(400)}`
        const headers = { ...from('203.0.113.2'), cookie }
        return fetch(`${broker.url}/callback?state=x&code=y`, { headers })
      },
    ],
  ]
  for (const [address, attempt] of tries) {
    for (let count = 0; count < LIMIT; count++) t.not((await attempt()).status, 429, address)
    t.equal((await attempt()).status, 429, address)
  }
})

t.test('another site cannot get its visitors limited', async (t) => {
  const broker = await build(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  for (const path of [
    '/callback',
    '/callback?state=x',
    '/callback?state=x&code=y',
    '/callback?state=x&state=y',
    '/callback?error=',
    '/oauth/authorize',
    '/oauth/authorize?client_id=x',
    `/oauth/authorize?${query}&state=again`,
    `/oauth/authorize?${query}&scope=unknown`,
    `/oauth/authorize?${query}&request=x`,
    `/oauth/authorize?client_id=${app.id}&redirect_uri=https://stranger.example/`,
    '/connect/x',
    '/device?user_code=BBBB-BBBB',
  ]) {
    for (let count = 0; count <= LIMIT; count++)
      t.not((await visitor.open(broker.url + path, 'https://')).status, 429, path)
  }
  const returned = await allow(visitor, login, 'amelie', parameters.redirect_uri)
  t.ok(new URL(returned.url).searchParams.has('code'), 'the flow of this browser still works')
})

t.test('codes that Ellipsis Drive rejects count', async (t) => {
  const broker = await build(t)
  const app = await addApp(broker)
  const tryCode = async () => {
    const visitor = new Visitor()
    const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
    if (asked.status === 429) return asked
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
    const state = new URL(login.url).searchParams.get('state') ?? ''
    return visitor.open(`${broker.url}/callback?code=made-up&state=${state}`)
  }
  for (let count = 0; count < LIMIT; count++) {
    t.match(await tryCode(), { status: 400, body: /did not accept the code/ })
  }
  for (let count = 0; count < 3; count++) t.equal((await tryCode()).status, 429)
  t.equal(broker.standIn.calls.token, LIMIT + 1, 'after the limit no code is tried')
  const lines = broker.logged.filter((line) => line.includes('rejected a code'))
  t.equal(lines.length, LIMIT + 1)
  t.notMatch(broker.logged.join('\n'), /made-up|"level":50|"stack"/)
})

t.test('other addresses, and other addresses of one IPv6 network', async (t) => {
  const broker = await build(t, PROXY)
  const { brokerToken } = await connect(broker, await addApp(broker))
  for (let count = 0; count <= LIMIT; count++) {
    await swap(broker, 'x', from(`2001:db8:1:1::${count}`))
  }
  t.equal((await swap(broker, brokerToken, from('2001:db8:1:1::ffff'))).status, 429)
  t.equal((await swap(broker, brokerToken, from('2001:db8:1:2::1'))).status, 200)
})

t.test('an app over its limit gets slow_down for failures, and valid swaps succeed', async (t) => {
  const broker = await build(t, PROXY)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const named = { client_id: app.id }
  for (let count = 0; count < 10 * LIMIT; count++) {
    t.equal((await swap(broker, 'x', from(`198.51.100.${count}`), named)).status, 400)
  }
  t.equal((await swap(broker, 'x', from('198.51.100.200'), named)).status, 429)
  t.equal((await swap(broker, brokerToken, from('198.51.100.201'), named)).status, 200)
  t.equal((await swap(broker, 'x', from('198.51.100.202'))).status, 400, 'without a client_id')
})

t.test('failures of an authenticated app do not count', async (t) => {
  const broker = await build(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const credentials = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
  for (let count = 0; count < 3 * LIMIT; count++) {
    t.equal((await swap(broker, 'x', {}, credentials)).status, 400)
  }
  const { returned, verifier } = await authorize(broker, app)
  const good = { code: returned.searchParams.get('code') ?? '', code_verifier: verifier }
  const form = { grant_type: 'authorization_code', ...good, ...credentials }
  t.equal((await postForm(`${broker.url}/oauth/token`, form)).status, 200)
  const basic = Buffer.from(`${app.id}:x`).toString('base64')
  for (let count = 0; count < LIMIT; count++) {
    t.equal((await swap(broker, 'x', { authorization: `Basic ${basic}` })).status, 401)
  }
  t.equal((await swap(broker, 'x', { authorization: `Basic ${basic}` })).status, 429)
})

t.test('loads of pages as images or frames are rejected, and do not count', async (t) => {
  const broker = await build(t)
  const embedded = (path: string, destination: string) =>
    fetch(broker.url + path, { headers: { 'sec-fetch-dest': destination } })
  for (let count = 0; count < LIMIT; count++) {
    t.equal((await embedded('/callback?state=x', 'image')).status, 403)
    t.equal((await embedded('/oauth/authorize?client_id=x', 'iframe')).status, 403)
    t.equal((await embedded('/oauth/authorize?client_id=x&prompt=none', 'image')).status, 403)
    t.equal((await embedded('/callback?state=x&code=y&prompt=none', 'iframe')).status, 403)
  }
  t.equal((await embedded('/connect/x', 'document')).status, 400)
})
