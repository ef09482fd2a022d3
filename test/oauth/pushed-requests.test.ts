import t from 'tap'
import type { App } from '../../db/store.ts'
import { openWaiting } from '../../server/connections/other-account.ts'
import { createPushedRequests } from '../../server/oauth/pushed-requests.ts'
import { Secret } from '../../server/secret.ts'
import {
  RETURN,
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  buildBroker,
  postForm,
} from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { serve } from '../processes.ts'
import { Visitor } from '../visitor.ts'

const push = (broker: TestBroker, form: Record<string, string>) =>
  postForm(`${broker.url}/oauth/par`, form)

const link = (broker: TestBroker, clientId: string, requestUri: unknown, more = {}) =>
  `${broker.url}/oauth/authorize?${new URLSearchParams({
    client_id: clientId,
    request_uri: String(requestUri),
    ...more,
  }).toString()}`

/** Pushes a request of a public app. */
async function pushed(broker: TestBroker, app: App, more: Record<string, string> = {}) {
  const { parameters, verifier } = authorizationRequest(app, more)
  const { body } = await push(broker, parameters)
  return { parameters, verifier, requestUri: String(body.request_uri) }
}

t.test('the parameters come from the pushed request alone', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters, verifier } = authorizationRequest(app)
  const answer = await push(broker, parameters)
  t.equal(answer.status, 201)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.match(answer.body, {
    request_uri: /^urn:ietf:params:oauth:request_uri:[A-Za-z0-9_-]+$/,
    expires_in: 600,
  })
  const visitor = new Visitor()
  const more = { state: 'forged', redirect_uri: 'https://evil.example/', scope: 'openid' }
  const url = link(broker, app.id, answer.body.request_uri, more)
  t.equal((await visitor.open(url)).status, 200)
  const asked = await visitor.open(url)
  t.equal(asked.status, 200, 'a reload')
  t.notMatch(asked.body, 'forged')
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const returned = new URL((await allow(visitor, login, 'amelie', RETURN)).url)
  t.equal(returned.searchParams.get('state'), parameters.state)
  const redeemed = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  })
  t.match(redeemed, { status: 200, body: { scope: 'projects' } })

  const used = await new Visitor().open(url)
  t.equal(used.status, 400, 'it led to a code')
  t.match(used.body, 'already complete')
})

t.test('one request leads to one code, from two tabs and in another spelling', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { requestUri } = await pushed(broker, app)
  const tabs = [new Visitor(), new Visitor()]
  const logins = []
  for (const visitor of tabs) {
    const asked = await visitor.open(link(broker, app.id, requestUri))
    logins.push(await visitor.press(asked, 'Continue to Ellipsis Drive'))
  }
  const answers = []
  for (const [index, visitor] of tabs.entries())
    answers.push(new URL((await allow(visitor, logins[index]!, 'amelie', RETURN)).url).searchParams)
  t.ok(answers[0]?.get('code'))
  t.equal(answers[1]?.get('code'), null)
  t.equal(answers[1]?.get('error'), 'invalid_request')
  for (const spelling of [`${requestUri}=`, `${requestUri} `])
    t.equal((await new Visitor().open(link(broker, app.id, spelling))).status, 400)
})

t.test('a request is refused when it is pushed', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const cases: [more: Record<string, string>, error: string][] = [
    [{ redirect_uri: 'https://evil.example/' }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ scope: 'everything' }, 'invalid_scope'],
    [{ code_challenge: '' }, 'invalid_request'],
    [{ request_uri: 'urn:ietf:params:oauth:request_uri:x' }, 'invalid_request'],
    [{ request: 'x' }, 'request_not_supported'],
    [{ prompt: 'none' }, 'login_required'],
    [{ strict_account: 'yes' }, 'invalid_request'],
    [{ external_id: 'user-7' }, 'invalid_request'],
    [{ login_hint: 'x'.repeat(256) }, 'invalid_request'],
    [{ scope: `openid ${'x'.repeat(5000)}` }, 'invalid_request'],
  ]
  for (const [more, error] of cases) {
    const { parameters } = authorizationRequest(app, more)
    const answer = await push(broker, parameters)
    t.match(answer, { status: 400, body: { error } }, JSON.stringify(more).slice(0, 60))
    t.equal(answer.headers.get('location'), null)
  }
  const unknown = { ...authorizationRequest(app).parameters, client_id: 'app_unknown' }
  t.match(await push(broker, unknown), { status: 401, body: { error: 'invalid_client' } })
  const { app: confidential } = await addAppWithSecret(broker, { confidential: true })
  const { parameters } = authorizationRequest(confidential)
  const anonymous = await push(broker, parameters)
  t.match(anonymous, { status: 401, body: { error: 'invalid_client' } })
  t.equal((await fetch(`${broker.url}/oauth/par`)).status, 405)
})

t.test('a request_uri that is wrong, foreign or expired', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const other = await addApp(broker)
  const { requestUri } = await pushed(broker, app)
  const bad = {
    'of another app': link(broker, other.id, requestUri),
    changed: link(broker, app.id, requestUri.replace(/.{4}$/, 'AAAA')),
    empty: link(broker, app.id, 'urn:ietf:params:oauth:request_uri:'),
  }
  for (const [name, url] of Object.entries(bad)) {
    const page = await new Visitor().open(url)
    t.equal(page.status, 400, name)
  }
  const { parameters } = authorizationRequest(app)
  const elsewhere = new URLSearchParams({ ...parameters, request_uri: 'https://app.example.com/r' })
  const refused = await new Visitor().open(`${broker.url}/oauth/authorize?${elsewhere}`, RETURN)
  t.equal(new URL(refused.url).searchParams.get('error'), 'request_uri_not_supported')

  broker.clock.advance(599_000)
  const visitor = new Visitor()
  const asked = await visitor.open(link(broker, app.id, requestUri))
  t.equal(asked.status, 200)
  broker.clock.advance(2000)
  const late = await visitor.press(asked, 'Continue to Ellipsis Drive')
  t.equal(late.status, 400)
})

t.test('an unknown key id loads no keys, and no credentials are sealed', async (t) => {
  const broker = await buildBroker(t)
  const { store, vault, clock } = broker.services
  const app = await addApp(broker)
  let opened = 0
  const open: typeof vault.open = (...values) => {
    opened++
    return vault.open(...values)
  }
  const requests = createPushedRequests({ store, vault: { ...vault, open }, clock })
  const { parameters } = authorizationRequest(app)
  const pushed = await requests.push(app, { ...parameters, client_secret: 'secret' })
  const uri = pushed.requestUri.reveal()
  const found = await requests.open(app.id, uri)
  t.match(found.parameters, parameters)
  t.notOk('client_secret' in found.parameters)
  t.equal(opened, 1)
  // The key id is behind the version.
  const [prefix = '', sealed = ''] = uri.split(/(?<=request_uri:)/)
  const bytes = Buffer.from(sealed, 'base64url')
  bytes[3] = (bytes[3] ?? 0) ^ 1
  const unknown = requests.open(app.id, prefix + bytes.toString('base64url'))
  await t.rejects(unknown, { code: 'invalid_request' })
  t.equal(
    openWaiting({ ...vault, open }, 'state', new Secret(bytes.toString('base64url'))),
    undefined,
  )
  t.equal(opened, 1)
})

t.test('what is no longer registered is refused, although it was pushed', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { requestUri } = await pushed(broker, app)
  const redirectUris = ['https://app.example.com/new']
  await broker.services.apps.set(app.id, { redirectUris }, 'test')
  t.equal((await new Visitor().open(link(broker, app.id, requestUri))).status, 400)
})

t.test('an app may have to push', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { par: 'required', trusted: true })
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  for (const path of ['/oauth/authorize', `/connect/${app.id}`]) {
    const { url } = await new Visitor().open(`${broker.url}${path}?${query}`, RETURN)
    const answer = new URL(url).searchParams
    t.equal(answer.get('error'), 'invalid_request', path)
    t.match(answer.get('error_description'), '/oauth/par')
    t.equal(answer.get('state'), parameters.state)
  }
  const { requestUri } = await pushed(broker, app)
  const login = await new Visitor().open(link(broker, app.id, requestUri))
  t.match(login.body, 'Log in as', 'trusted: at once at Ellipsis Drive')
  const plain = await new Visitor().open(`${broker.url}/connect/${app.id}`)
  t.equal(plain.status, 200, 'a plain link gives the app nothing')
})

t.test('a confidential app names its user; another process reads the request', async (t) => {
  const broker = await buildBroker(t)
  const other = await serve(t, broker.env)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const secret = { client_secret: clientSecret?.reveal() ?? '' }
  const externalId = '"\u{1f5fa}"'.repeat(60).slice(0, 200)
  const { parameters, verifier } = authorizationRequest(app, {
    state: '"'.repeat(1024),
    login_hint: 'Amelie',
    external_id: externalId,
  })
  const answer = await postForm(`${other.url}/oauth/par`, { ...parameters, ...secret })
  t.equal(answer.status, 201)
  const visitor = new Visitor()
  const asked = await visitor.open(link(broker, app.id, answer.body.request_uri))
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const cookies = [...visitor.cookies(broker.url)].filter(([name]) => name.startsWith('flow-'))
  const [[name, value] = ['', '']] = cookies
  t.ok(name.length + value.length < 4096, `${name.length + value.length} characters`)
  const { url } = await allow(visitor, login, 'amelie', RETURN)
  const redeemed = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', client_id: app.id, ...secret },
    ...{ code: new URL(url).searchParams.get('code') ?? '', code_verifier: verifier },
  })
  t.equal(redeemed.status, 200)
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  const grants = await broker.services.store.listGrants(connection?.id ?? '')
  t.equal(grants[0]?.externalId, externalId)
})

t.test('pushing stores nothing', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  await broker.services.sweeper.stop()
  const { watchCommits } = await import('../commits.ts')
  const changed = watchCommits(t, broker.dataDir)
  for (let count = 0; count < 50; count++) await pushed(broker, app)
  t.equal(changed(), false)
})
