import t from 'tap'
import type { AuthorizationFlow, ServerClient } from '../../../sdk/server.ts'
import { RETURN, allow } from '../../helper.ts'
import { listen } from '../../listen.ts'
import { Visitor } from '../../visitor.ts'
import { begin, busy, errorOf } from './begin.ts'

/** Follows the URL to the consent page, answers, and returns the URL that the user comes back with. */
async function visit(url: string, answer: 'Continue to Ellipsis Drive' | 'Deny', stopAt = RETURN) {
  const visitor = new Visitor()
  const page = await visitor.press(await visitor.open(url), answer, {}, stopAt)
  return answer === 'Deny' ? page.url : (await allow(visitor, page, 'amelie', stopAt)).url
}

const connect = async (client: ServerClient, more: object = {}) => {
  const { url, flow } = await client.createAuthorization({ redirectUri: RETURN, ...more })
  const stored = JSON.parse(JSON.stringify(flow)) as AuthorizationFlow
  return { url, flow: stored, returned: await visit(url, 'Continue to Ellipsis Drive') }
}

t.test('a user connects through a pushed request', async (t) => {
  const { broker, app, client, requests } = await begin(t)
  const more = { scope: 'openid profile projects', externalId: 'anna', loginHint: 'amelie' }
  const { url, flow, returned } = await connect(client, more)
  t.strictSame([...new URL(url).searchParams.keys()], ['client_id', 'request_uri'])
  const connected = await client.handleCallback(returned, flow)
  t.match(connected, {
    grantId: /^grant_/,
    connectionId: /^con_/,
    scope: 'openid profile projects',
    user: { id: String, username: 'amelie' },
  })
  t.ok(Math.abs(connected.expiresAt - broker.clock.now() / 1000 - 30 * 86_400) < 60)
  t.match(await client.getGrant(connected.grantId), { externalId: 'anna', username: 'amelie' })
  t.strictSame(requests.paths.slice(0, 2), ['POST /oauth/par', 'POST /oauth/token'])
  t.equal(app.id, new URL(url).searchParams.get('client_id'))
})

t.test('the callback in every form that frameworks give it', async (t) => {
  const { client } = await begin(t)
  const { pathname } = new URL(RETURN)
  for (const form of [
    (url: string) => new URL(url),
    (url: string) => new Request(url),
    (url: string) => pathname + new URL(url).search,
    (url: string) => ({ url: pathname + new URL(url).search }),
  ]) {
    const { flow, returned } = await connect(client)
    const { scope, user } = await client.handleCallback(form(returned), flow)
    t.strictSame({ scope, user }, { scope: 'projects', user: undefined })
  }
})

t.test('a user who refuses, and answers that are not for this flow', async (t) => {
  const { client, requests } = await begin(t)
  const begun = await client.createAuthorization({ redirectUri: RETURN })
  const refused = await visit(begun.url, 'Deny')
  t.match(await errorOf(client.handleCallback(refused, begun.flow)), { code: 'access_denied' })
  const { flow, returned } = await connect(client)
  const before = requests.paths.length
  const changed = (name: string, value: string | null) => {
    const url = new URL(returned)
    if (value === null) url.searchParams.delete(name)
    else url.searchParams.set(name, value)
    return client.handleCallback(url, flow)
  }
  for (const [name, value] of [
    ['state', 'other'],
    ['state', null],
    ['iss', 'https://other.example.com'],
    ['iss', null],
    ['code', null],
  ] as const) {
    const error = await errorOf(changed(name, value))
    t.equal(error.code, 'invalid_state', `${name} ${value}`)
  }
  t.equal(requests.paths.length, before, 'none of them reached the broker')
  const stolen = { ...flow, codeVerifier: 'x'.repeat(43) }
  t.match(await errorOf(client.handleCallback(returned, stolen)), { code: 'invalid_grant' })
})

t.test('the ID token must be for this flow', async (t) => {
  const { client } = await begin(t)
  const { flow, returned } = await connect(client, { scope: 'openid projects' })
  const other = client.handleCallback(returned, { ...flow, nonce: 'other' })
  t.match(await errorOf(other), { code: 'invalid_state' })
})

t.test('a code whose answer is lost is not redeemed again; a refused one is', async (t) => {
  const { client, requests } = await begin(t)
  const first = await connect(client)
  requests.answerWith(new TypeError('terminated'))
  const lost = await errorOf(client.handleCallback(first.returned, first.flow))
  t.match(lost, { code: 'network_error', cause: { message: 'terminated' } })
  t.equal(requests.paths.filter((path) => path === 'POST /oauth/token').length, 1)
  const second = await connect(client)
  requests.answerWith(busy())
  t.match(await client.handleCallback(second.returned, second.flow), { grantId: String })
})

t.test('without offline access: swap and revoke a broker token', async (t) => {
  const { broker, client } = await begin(t, { settings: { offline: false } })
  t.match(await errorOf(client.getGrant('x')), { code: 'unauthorized_client' })
  const { flow, returned } = await connect(client)
  const { brokerToken } = await client.handleCallback(returned, flow)
  const first = await client.swap(brokerToken, { minTtl: 60, force: false })
  t.ok(broker.standIn.issued().includes(first.accessToken))
  t.ok(Math.abs(first.expiresAt - broker.clock.now() / 1000 - 3600) < 60)
  t.notOk('brokerToken' in first)
  broker.clock.advance(16 * 86_400_000)
  const renewed = await client.swap(brokerToken)
  t.type(renewed.brokerToken, 'string')
  t.not(renewed.accessToken, first.accessToken)
  await client.revoke(renewed.brokerToken ?? '')
  t.match(await errorOf(client.swap(renewed.brokerToken ?? '')), { code: 'invalid_request' })
})

t.test('an app with --tokens ellipsis gets the broker token as refresh token', async (t) => {
  const { client } = await begin(t, { settings: { tokens: 'ellipsis', offline: false } })
  const { flow, returned } = await connect(client)
  t.match(await client.handleCallback(returned, flow), { grantId: /^grant_/ })
})

t.test('under a base path, with a slash at the end of the URL', async (t) => {
  const { broker, newClient } = await begin(t, { basePath: '/broker' })
  const client = newClient({ broker: `${broker.url}/` })
  const { flow, returned } = await connect(client)
  t.match(await client.handleCallback(returned, flow), { grantId: /^grant_/ })
})

t.test('a Node server, without a framework', async (t) => {
  const { client } = await begin(t)
  const flows: AuthorizationFlow[] = []
  const here = await listen(t, (request, response) => {
    const flow = flows.pop()
    if (!flow) return
    client.handleCallback(request, flow).then(
      ({ scope }) => response.end(`granted ${scope}`),
      (error: unknown) => response.end(String(error)),
    )
  })
  const { flow, returned } = await connect(client)
  flows.push(flow)
  const page = await fetch(here + new URL(returned).pathname + new URL(returned).search)
  t.equal(await page.text(), 'granted projects')
})
