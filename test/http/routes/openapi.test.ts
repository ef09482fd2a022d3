import { createConfig, lintFromString } from '@redocly/openapi-core'
import t from 'tap'
import type { Test } from 'tap'
import Schema from 'typebox/schema'
import { StoreUnavailableError } from '../../../db/errors.ts'
import { sdkModules } from '../../../server/assets.ts'
import type { OpenApiDocument } from '../../../server/http/openapi-document.ts'
import {
  RETURN,
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
} from '../../helper.ts'
import type { TestBroker, TestOptions } from '../../helper.ts'
import { addSessionApp, sessionHeaders, signIn } from '../../oauth/session/begin.ts'
import { addOfflineApp, connectUser, getAppToken } from '../../oauth/offline/begin.ts'
import { Visitor } from '../../visitor.ts'

const read = async (broker: TestBroker): Promise<OpenApiDocument> =>
  (await (await fetch(`${broker.url}/openapi.json`)).json()) as OpenApiDocument

t.test('the document passes a linter', async (t) => {
  const broker = await buildBroker(t, { basePath: '/broker' })
  const source = JSON.stringify(await read(broker))
  const config = await createConfig({
    extends: ['recommended-strict'],
    // The test's broker is local, and endpoints without a 4xx response are public and take no input.
    rules: { 'no-server-example.com': 'off', 'operation-4xx-response': 'off' },
  })
  for (const { ruleId, message, location } of await lintFromString({ source, config })) {
    t.fail(`${ruleId}: ${message} at ${location[0]?.pointer}`)
  }
})

t.test(
  'the document has every endpoint of apps, under the base path, and so has the page',
  async (t) => {
    const broker = await buildBroker(t, { basePath: '/broker' })
    const document = await read(broker)
    t.match(document, { openapi: '3.1.0', servers: [{ url: broker.url }] })
    const paths = Object.keys(document.paths)
    for (const path of [
      '/oauth/authorize',
      '/oauth/token',
      '/oauth/revoke',
      '/oauth/introspect',
      '/oauth/device_authorization',
      '/oauth/par',
      '/exchange',
      '/session',
      '/links',
      '/links/{id}',
      '/metrics',
    ]) {
      t.ok(paths.includes(path), path)
    }
    const answer = await fetch(`${broker.url}/docs`, { headers: { accept: 'text/html' } })
    t.match(answer.headers.get('content-security-policy'), "default-src 'none'")
    const page = await answer.text()
    t.notMatch(page, /<script|style="|undefined|\[object|`/)
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { operationId }] of Object.entries(methods)) {
        t.match(page, `<a href="#${operationId}"><code>${method.toUpperCase()} ${path}</code>`)
        t.match(page, ` id="${operationId}">`)
      }
    }
  },
)

function examine(t: Test, name: string, schema: object | undefined, type: string, text: string) {
  if (!schema) return t.fail(`${name}: undocumented type ${type}`)
  if (type !== 'application/json') return t.match(type, /^text/)
  const [valid, errors] = Schema.Compile(schema).Errors(JSON.parse(text))
  return t.ok(valid, `${name} ${text.slice(0, 300)}`, { errors })
}

/** Returns `ask`, which compares each response with the document, and the documented responses not seen yet. */
async function createExaminer(t: Test, broker: TestBroker) {
  const unseen = new Set<string>()
  const checks = new Map<string, (answer: Response) => Promise<void>>()
  for (const methods of Object.values((await read(broker)).paths)) {
    for (const { operationId, responses } of Object.values(methods)) {
      for (const [status, { content }] of Object.entries(responses)) {
        unseen.add(`${operationId} ${status}`)
        checks.set(`${operationId} ${status}`, async (answer) => {
          const type = (answer.headers.get('content-type') ?? '').replace(/;.*/, '')
          const text = await answer.text()
          const name = `${operationId} ${status}`
          if (!content) t.equal(text, '', `${name}: no body`)
          else examine(t, name, content[type]?.schema, type, text)
        })
      }
    }
  }
  const ask = async (id: string, url: string, init: RequestInit = {}): Promise<void> => {
    const answer = await fetch(url, { redirect: 'manual', ...init })
    const check = checks.get(`${id} ${answer.status}`)
    unseen.delete(`${id} ${answer.status}`)
    if (check) await check(answer)
    else t.fail(`${id}: undocumented status ${answer.status}: ${await answer.text()}`)
  }
  return { ask, unseen }
}

const post = (body: BodyInit, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  body,
  headers,
})

t.test('every documented response occurs, and matches its schema', async (t) => {
  const start = (more: TestOptions = {}) =>
    buildBroker(t, { switches: { tokenLifetime: 62 }, ...more })
  const broker = await start()
  const { ask, unseen } = await createExaminer(t, broker)
  const { services, standIn, clock, url } = broker
  const app = await addApp(broker, { device: true })
  const { parameters } = authorizationRequest(app)
  const query = (more: Record<string, string> = {}) =>
    new URLSearchParams({ ...parameters, ...more }).toString()

  for (const path of ['healthz', 'readyz', 'docs']) await ask(path, `${url}/${path}`)
  await ask('openapi', `${url}/openapi.json`)
  for (const path of Object.keys(sdkModules)) {
    const name = path.replace('.js', '').replace('/', '-')
    const etag = (await fetch(`${url}/${path}`)).headers.get('etag') ?? ''
    await ask(name, `${url}/${path}`)
    await ask(name, `${url}/${path}`, { headers: { 'if-none-match': etag } })
  }
  await ask('metadata', `${url}/.well-known/oauth-authorization-server`)
  await ask('openidConfiguration', `${url}/.well-known/openid-configuration`)
  await ask('jwks', `${url}/.well-known/jwks.json`)
  const metricsToken = { authorization: `Bearer ${broker.env.BROKER_METRICS_TOKEN}` }
  await ask('metrics', `${url}/metrics`, { headers: metricsToken })
  await ask('metrics', `${url}/metrics`)
  const withoutToken = await start({ env: { BROKER_METRICS_TOKEN: '' } })
  await ask('metrics', `${withoutToken.url}/metrics`)

  await ask('authorize', `${url}/oauth/authorize?${query()}`)
  await ask('authorize', `${url}/oauth/authorize?${query({ scope: 'all' })}`)
  await ask('authorize', `${url}/oauth/authorize`)
  await ask('connect', `${url}/connect/${app.id}`)
  await ask('connect', `${url}/connect/${app.id}?scope=all`)
  await ask('connect', `${url}/connect/nobody`)
  await ask('callback', `${url}/callback`)
  await askCallback(broker, ask)

  const session = await askSession(broker, ask)

  const { brokerToken } = await connect(broker, app)
  const fresh = await authorize(broker, app)
  const bearer = { authorization: `Bearer ${brokerToken}` }
  const swap = async () => {
    await ask('exchange', `${url}/exchange`, { method: 'POST', headers: bearer })
    await ask('drive', `${url}/drive/account`, { headers: bearer })
  }
  const form = (fields: Record<string, string>) =>
    post(new URLSearchParams({ client_id: app.id, ...fields }))
  const token = (fields: Record<string, string>) => ask('token', `${url}/oauth/token`, form(fields))
  const subject = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: brokerToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  }
  await swap()
  await token(subject)
  await token({
    grant_type: 'authorization_code',
    code: fresh.returned.searchParams.get('code') ?? '',
    redirect_uri: RETURN,
    code_verifier: fresh.verifier,
  })

  const identity = await connect(broker, app, { parameters: { scope: 'openid profile' } })
  const userInfo = async (token: string, post: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${token}` }
    await ask('userinfo', `${url}/oauth/userinfo`, { headers })
    await ask('drive', `${url}/drive/account`, { headers })
    await ask('userinfoByPost', `${url}/oauth/userinfo`, { method: 'POST', headers, ...post })
  }
  for (const token of [identity.brokerToken, brokerToken, 'nonsense']) await userInfo(token)
  standIn.addFault({ endpoint: 'account', kind: 'status', status: 503, times: 2 })
  await userInfo('nonsense')
  standIn.clearFaults()

  const shared = await askLinks(broker, ask, { brokerToken, identity: identity.brokerToken })

  // Errors of apps.
  const big = 'x'.repeat(40_000)
  const json = { 'content-type': 'application/json' }
  await ask('exchange', `${url}/exchange`, post('{', json))
  await ask('drive', `${url}/drive/a%2Fb`, { headers: bearer })
  await ask('exchange', `${url}/exchange`, { method: 'POST' })
  await ask('exchange', `${url}/exchange`, post('x', { 'content-type': 'text/plain' }))
  await ask('exchange', `${url}/exchange`, post(`"${big}"`, json))
  for (const [id, path] of [
    ['userinfoByPost', '/oauth/userinfo'],
    ['token', '/oauth/token'],
    ['revoke', '/oauth/revoke'],
    ['introspect', '/oauth/introspect'],
    ['deviceAuthorization', '/oauth/device_authorization'],
    ['pushAuthorizationRequest', '/oauth/par'],
  ] as const) {
    await ask(id, url + path, form({}))
    await ask(id, url + path, post('{}', json))
    await ask(id, url + path, form({ big }))
  }
  await token({ ...subject, client_secret: 'wrong' })
  const revoke = (fields: Record<string, string>) =>
    ask('revoke', `${url}/oauth/revoke`, form(fields))
  await revoke({ token: brokerToken, client_secret: 'wrong' })

  const { app: server, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const own = { client_id: server.id, client_secret: clientSecret?.reveal() ?? '' }
  const introspect = (fields: Record<string, string>) =>
    ask('introspect', `${url}/oauth/introspect`, form({ ...own, token: brokerToken, ...fields }))
  await introspect({})
  await introspect({ client_secret: 'wrong' })
  const device = (fields: Record<string, string>) =>
    ask('deviceAuthorization', `${url}/oauth/device_authorization`, form(fields))
  await device({})
  await device({ scope: 'all' })
  await device({ client_secret: 'wrong' })
  await ask('device', `${url}/device`)

  const api = await createApiCalls(broker, ask, clock.now())
  const push = (fields: Record<string, string>) =>
    ask('pushAuthorizationRequest', `${url}/oauth/par`, form(fields))
  await push(parameters)
  for (const more of [
    ...[{ scope: 'all' }, { response_type: 'token' }, { prompt: 'none' }, { request: 'x' }],
    ...[{ registration: 'x' }, { client_secret: 'wrong' }],
  ])
    await push({ ...parameters, ...more })

  // The keys of this app cannot be fetched.
  const jwksUri = 'https://127.0.0.1:1/keys'
  const { id: keyed } = await addApp(broker, { confidential: true, jwksUri })
  const assertion = {
    ...{ client_id: keyed, client_assertion: 'x' },
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  }
  await revoke({ token: brokerToken, ...assertion })
  await ask('introspect', `${url}/oauth/introspect`, form({ token: 'x', ...assertion }))
  await device(assertion)
  await push(assertion)

  // Errors of the broker and of Ellipsis Drive.
  const { getSwapState, checkWritable, getApp, getLinkState } = services.store
  const broken = async () => Promise.reject(new Error('the disk is gone'))
  Object.assign(services.store, { getSwapState: broken, checkWritable: broken })
  await askForLinks(broker, ask, brokerToken)
  Object.assign(services.store, { getLinkState: broken })
  await ask('openLink', shared)
  clock.advance(1001)
  await ask('readyz', `${url}/readyz`)
  await swap()
  await token(subject)
  await userInfo(identity.brokerToken)
  await revoke({ token: brokerToken })
  Object.assign(services.store, { getApp: broken })
  await api.call()
  await introspect({})
  await device({})
  await session()
  await push({})
  Object.assign(services.store, { getSwapState, checkWritable, getApp })
  Object.assign(services.store, { getSwapState, checkWritable, getApp, getLinkState })
  clock.advance(3_600_000)
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 10 })
  await swap()
  await ask('openLink', shared)
  await token(subject)
  await api.swap()
  standIn.clearFaults()
  clock.advance(3_600_000)
  standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 100 })
  await swap()
  await token(subject)
  await api.swap()
  await revoke({ token: brokerToken })

  const limits = { BROKER_FAILURE_LIMIT: '1', BROKER_CONNECTION_REQUESTS_PER_MINUTE: '1' }
  await askTooOften(await start({ env: limits }), ask)
  t.strictSame([...unseen], [], 'every documented response occurred')
})

/** Calls the app API in every way; `call` and `swap` call it once more, with a new app token if possible. */
async function createApiCalls(broker: TestBroker, ask: Ask, now: number) {
  const app = await addOfflineApp(broker)
  const { grantId } = await connectUser(broker, app)
  const identity = await connectUser(broker, app, { parameters: { scope: 'openid' } })
  let token = await getAppToken(broker, app)
  const grants = `${broker.url}/v1/grants`
  const init = (method: string, body?: string, type = 'application/json'): RequestInit => ({
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': type }) },
    ...(body && { body }),
  })
  const call = async (id = grantId, body = '{"external_id":"user-1"}') => {
    await ask('listGrants', `${grants}?limit=1`, init('GET'))
    await ask('getGrant', `${grants}/${id}`, init('GET'))
    await ask('updateGrant', `${grants}/${id}`, init('PATCH', body))
    await ask('grantToken', `${grants}/${id}/token`, init('POST'))
    await ask('revokeGrant', `${grants}/${id}`, init('DELETE'))
  }
  await call(identity.grantId)
  await call('unknown')
  await call('unknown', '{')
  await ask('listGrants', `${grants}?limit=0`, init('GET'))
  const big = `"${'x'.repeat(40_000)}"`
  for (const [id, path, method] of [
    ['updateGrant', grantId, 'PATCH'],
    ['grantToken', `${grantId}/token`, 'POST'],
  ] as const) {
    for (const body of ['{', big]) await ask(id, `${grants}/${path}`, init(method, body))
    await ask(id, `${grants}/${path}`, init(method, 'x', 'text/plain'))
  }
  await ask('grantToken', `${grants}/${grantId}/token`, init('POST'))
  const valid = token
  token = 'nonsense'
  await call()
  token = valid
  return {
    call,
    async swap() {
      if (broker.clock.now() - now > 600_000) token = await getAppToken(broker, app)
      await ask('grantToken', `${grants}/${grantId}/token`, init('POST'))
    },
  }
}

type Ask = Awaited<ReturnType<typeof createExaminer>>['ask']

/** The same request at each endpoint for links. */
async function askForLinks({ url }: TestBroker, ask: Ask, token: string): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  await ask('createLink', `${url}/links`, post('{"path":"/account"}', headers))
  await ask('listLinks', `${url}/links`, { headers })
  await ask('revokeLink', `${url}/links/none`, { method: 'DELETE', headers })
}

/** Creates, lists, opens and revokes links, also in wrong ways. Returns one that works. */
async function askLinks(
  broker: TestBroker,
  ask: Ask,
  { brokerToken, identity }: { brokerToken: string; identity: string },
): Promise<string> {
  const { url, services } = broker
  const headers = { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' }
  for (const token of [brokerToken, identity, 'nonsense']) await askForLinks(broker, ask, token)
  for (const body of ['{}', `{"path":"${'x'.repeat(40_000)}"}`])
    await ask('createLink', `${url}/links`, post(body, headers))
  const text = { ...headers, 'content-type': 'text/plain' }
  await ask('createLink', `${url}/links`, post('x', text))
  const { store } = services
  const { getSwapState } = store
  const unavailable = async () => Promise.reject(new StoreUnavailableError('SQLITE_BUSY', null))
  Object.assign(store, { getSwapState: unavailable })
  await askForLinks(broker, ask, brokerToken)
  Object.assign(store, { getSwapState })
  const { links } = (await (await fetch(`${url}/links`, { headers })).json()) as {
    links: { id: string }[]
  }
  await ask('revokeLink', `${url}/links/${links[0]?.id}`, { method: 'DELETE', headers })
  const created = await fetch(`${url}/links`, post('{"path":"/account"}', headers))
  const { url: shared } = (await created.json()) as { url: string }
  await ask('openLink', shared)
  await ask('openLink', `${shared}/more`)
  return shared
}

/** Returns from Ellipsis Drive in every way. */
async function askCallback(broker: TestBroker, ask: Ask): Promise<void> {
  const app = await addApp(broker)
  const stopAt = `${broker.url}/callback`
  const comeBack = async (path: string) => {
    const visitor = new Visitor()
    const asked = await visitor.open(broker.url + path)
    const sent = await visitor.press(asked, 'Continue to Ellipsis Drive', {}, stopAt)
    const { url } = await allow(visitor, sent, 'amelie', stopAt)
    const cookies = [...visitor.cookies(broker.url)].map((pair) => pair.join('='))
    await ask('callback', url, { headers: { cookie: cookies.join('; ') } })
  }
  const { parameters } = authorizationRequest(app)
  await comeBack(`/oauth/authorize?${new URLSearchParams(parameters)}`)
  await comeBack(`/connect/${app.id}`)
  broker.standIn.addFault({ endpoint: 'token', kind: 'status', status: 503, times: 10 })
  await comeBack(`/connect/${app.id}`)
  broker.standIn.clearFaults()
}

/** Uses a session in every way. Returns a function that reads it and ends it. */
async function askSession(broker: TestBroker, ask: Ask): Promise<() => Promise<void>> {
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  const headers = sessionHeaders(app, cookie)
  const both = async (headers: Record<string, string>) => {
    await ask('session', `${broker.url}/session`, { headers })
    await ask('endSession', `${broker.url}/session`, { method: 'DELETE', headers })
  }
  await both({})
  await both({ ...headers, origin: 'https://evil.example' })
  await both(headers)
  await ask('session', `${broker.url}/session`, { headers })
  return () => both(headers)
}

/** Fails at every endpoint until it answers `slow_down`. */
async function askTooOften(broker: TestBroker, ask: Ask): Promise<void> {
  const { url } = broker
  const { brokerToken } = await connect(broker, await addApp(broker))
  const bearer = { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' }
  const link = await fetch(`${url}/links`, post('{"path":"/account"}', bearer))
  const { url: shared } = (await link.json()) as { url: string }
  for (let request = 0; request < 2; request++) await ask('openLink', shared)

  const headers = sessionHeaders(await addSessionApp(broker), 'nonsense')
  const form = post(new URLSearchParams({ client_id: 'nobody', token: 'nonsense' }))
  const jsonBody = {
    body: '{"external_id":"x"}',
    headers: { 'content-type': 'application/json' },
  }
  for (let failure = 0; failure < 3; failure++) {
    await ask('exchange', `${url}/exchange`, { method: 'POST' })
    await ask('session', `${url}/session`, { headers })
    await ask('drive', `${url}/drive/account`)
    await ask('listGrants', `${url}/v1/grants`)
    await ask('getGrant', `${url}/v1/grants/x`)
    await ask('updateGrant', `${url}/v1/grants/x`, { method: 'PATCH', ...jsonBody })
    await ask('revokeGrant', `${url}/v1/grants/x`, { method: 'DELETE' })
    await ask('grantToken', `${url}/v1/grants/x/token`, { method: 'POST' })
    await askForLinks(broker, ask, 'nonsense')
    await ask('userinfo', `${url}/oauth/userinfo`)
    await ask('userinfoByPost', `${url}/oauth/userinfo`, { method: 'POST' })
    await ask('revoke', `${url}/oauth/revoke`, form)
    await ask('introspect', `${url}/oauth/introspect`, form)
    await ask('deviceAuthorization', `${url}/oauth/device_authorization`, form)
    await ask('pushAuthorizationRequest', `${url}/oauth/par`, form)
  }
  await ask('metrics', `${url}/metrics`)
  await ask('token', `${url}/oauth/token`, form)
  await ask('authorize', `${url}/oauth/authorize`)
  await ask('connect', `${url}/connect/nobody`)
  await ask('callback', `${url}/callback`)
  const visitor = new Visitor()
  for (let failure = 0; failure < 2; failure++) {
    const form = await visitor.open(`${url}/device`)
    await visitor.press(form, 'Continue', { user_code: 'BBBB-BBBB' })
  }
  await ask('device', `${url}/device`)
}
