import t from 'tap'
import {
  addApp,
  allow,
  authorize,
  authorizationRequest,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../../helper.ts'
import { setSessionCookie } from '../../../server/http/routes/session-cookie.ts'
import { Secret } from '../../../server/secret.ts'
import { Visitor } from '../../visitor.ts'
import {
  PAGE,
  RETURN_TO_PAGE,
  addSessionApp,
  claimsOf,
  fromPage,
  grantOf,
  maxAgeDays,
  signIn,
  valueOf,
} from './begin.ts'

const DAY_MS = 86_400_000

t.test('the user returns with a session and without a code', async (t) => {
  for (const basePath of ['', '/broker']) {
    const broker = await buildBroker(t, { basePath })
    const app = await addSessionApp(broker)
    const { returned, cookie, headers } = await signIn(broker, app, {
      scope: 'openid profile projects',
    })
    t.equal(returned.origin + returned.pathname, RETURN_TO_PAGE)
    t.strictSame([...returned.searchParams.keys()].sort(), ['iss', 'state'])
    t.equal(returned.searchParams.get('state'), 'of the page')
    t.equal(returned.searchParams.get('iss'), broker.url)
    const lines = headers.getSetCookie().filter((line) => line.startsWith('session-'))
    t.equal(lines.length, 1)
    t.equal(maxAgeDays(lines[0]), 30)
    t.equal(
      lines[0]?.replace(/Max-Age=\d+/, 'Max-Age'),
      `session-${app.id}=${cookie}; Max-Age; Path=/; HttpOnly; SameSite=Strict`,
    )
    const read = await fromPage(broker, app, cookie)
    t.match(read, {
      status: 200,
      body: { client_id: app.id, username: 'amelie', scope: 'openid profile projects' },
    })
    t.equal(read.body.expires_at, claimsOf(cookie).exp)
    t.equal(read.headers.get('cache-control'), 'no-store')
    t.equal(read.headers.get('access-control-allow-origin'), PAGE)
    t.equal(read.headers.get('access-control-allow-credentials'), 'true')
    t.equal(read.setCookie, undefined)
    t.notOk(JSON.stringify(read.body).includes(cookie))
    t.match(await broker.services.store.getGrant(grantOf(cookie)), {
      appId: app.id,
      policy: { access: 'proxy' },
      revokedAt: null,
    })
  }
})

t.test('over https the cookie has the prefix __Host- and is secure', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  const config = { ...broker.services.config, publicUrl: 'https://broker.example.com/base' }
  let line = ''
  const reply = { header: (_name: string, value: string) => (line = value) }
  const session = { appId: app.id, token: new Secret(cookie), expiresIn: 60 }
  setSessionCookie(reply as never, session, config)
  t.equal(
    line,
    `__Host-session-${app.id}=${cookie}; Max-Age=60; Path=/; HttpOnly; SameSite=Strict; Secure`,
  )
})

t.test('without the scope profile the page does not get the name', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  const { body } = await fromPage(broker, app, cookie)
  t.strictSame(Object.keys(body).sort(), ['client_id', 'expires_at', 'scope'])
})

t.test('errors return to the page', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const url = `${broker.url}/connect/${app.id}?state=s`
  const visitor = new Visitor()
  const consent = await visitor.open(url)
  const denied = new URL((await visitor.press(consent, 'Deny', {}, RETURN_TO_PAGE)).url)
  t.match(Object.fromEntries(denied.searchParams), { error: 'access_denied', state: 's' })

  const upstream = await visitor.press(
    await visitor.open(url),
    'Continue to Ellipsis Drive',
    {},
    RETURN_TO_PAGE,
  )
  broker.standIn.addFault({ endpoint: 'token', kind: 'status', status: 503, times: 10 })
  const failed = new URL((await allow(visitor, upstream, 'amelie', RETURN_TO_PAGE)).url)
  t.match(Object.fromEntries(failed.searchParams), { error: 'temporarily_unavailable', state: 's' })
  t.notOk(visitor.cookies(new URL(broker.url).origin).has(`session-${app.id}`))
})

t.test('without a session: 401 with the link to connect, which counts as no guess', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '2' } })
  const app = await addSessionApp(broker)
  for (let visit = 0; visit < 10; visit++) {
    const read = await fromPage(broker, app, '')
    t.match(read, {
      status: 401,
      body: { error: 'invalid_token', reconnect_url: `${broker.url}/connect/${app.id}` },
    })
    t.equal(read.setCookie, undefined)
    t.equal(read.headers.get('access-control-allow-credentials'), 'true')
  }
})

t.test('sign out: revokes the grant, clears the cookie, and may be repeated', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  for (let time = 0; time < 2; time++) {
    const ended = await fromPage(broker, app, cookie, { method: 'DELETE' })
    t.equal(ended.status, 204)
    t.match(ended.setCookie, `session-${app.id}=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict`)
  }
  t.ok((await broker.services.store.getGrant(grantOf(cookie)))?.revokedAt)
  t.match(await fromPage(broker, app, cookie), { status: 401, setCookie: /Max-Age=0/ })
  t.match(await fromPage(broker, app, '', { method: 'DELETE' }), { status: 204 })
})

t.test(
  'a revoked, removed or expired session ends at once, and its cookie is cleared',
  async (t) => {
    const broker = await buildBroker(t)
    const { services, clock } = broker
    const now = () => clock.now()
    const ends: Record<string, (grantId: string, connectionId: string, appId: string) => unknown> =
      {
        grant: (id) => services.store.revokeGrants({ id, now: now(), events: [] }),
        connection: (_id, connection) =>
          services.store.revokeConnection({ id: connection, now: now(), events: [] }),
        expiry: () => clock.advance(31 * DAY_MS),
      }
    for (const [name, end] of Object.entries(ends)) {
      const app = await addSessionApp(broker)
      const { cookie } = await signIn(broker, app)
      const grant = await services.store.getGrant(grantOf(cookie))
      await end(grant?.id ?? '', grant?.connectionId ?? '', app.id)
      const read = await fromPage(broker, app, cookie)
      t.match(read, { status: 401, body: { error: 'invalid_token' }, setCookie: /Max-Age=0/ }, name)
      t.equal(read.body.reconnect_url, `${broker.url}/connect/${app.id}`, name)
    }
    const app = await addSessionApp(broker)
    const { cookie } = await signIn(broker, app)
    await services.apps.remove(app.id, 'test')
    const gone = await fromPage(broker, app, cookie)
    t.match(gone, { status: 400, body: { error: 'unauthorized_client' } })
  },
)

t.test('a connection that needs reconnecting says so', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  const grant = await broker.services.store.getGrant(grantOf(cookie))
  const connectionId = grant?.connectionId ?? ''
  broker.clock.advance(DAY_MS)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 10 })
  await t.rejects(broker.services.connections.refresh(connectionId, 'test'))
  const read = await fromPage(broker, app, cookie)
  t.match(read, { status: 403, body: { error: 'reconnect_required' }, setCookie: undefined })
  t.match(read.body.reconnect_url, connectionId)
})

t.test('connecting again in the same browser ends the earlier session', async (t) => {
  const broker = await buildBroker(t)
  const [app, other] = [await addSessionApp(broker), await addSessionApp(broker)]
  const first = await signIn(broker, app)
  const { visitor } = first
  const ofOther = await signIn(broker, other, { visitor })
  const elsewhere = await signIn(broker, app)
  const again = await signIn(broker, app, { visitor })
  t.match(await fromPage(broker, app, first.cookie), { status: 401 })
  t.match(await fromPage(broker, app, again.cookie), { status: 200 })
  t.match(await fromPage(broker, other, ofOther.cookie), { status: 200 }, 'of another app')
  t.match(await fromPage(broker, app, elsewhere.cookie), { status: 200 }, 'of another browser')
})

t.test('the callback repeated: the cookie again, as the session is by now', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker, { tokenLifetimeSeconds: 60 })
  const visitor = new Visitor()
  const stopAt = `${broker.url}/callback`
  const consent = await visitor.open(`${broker.url}/connect/${app.id}`)
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, stopAt)
  const { url } = await allow(visitor, upstream, 'amelie', stopAt)
  const jar = visitor.cookies(new URL(broker.url).origin)
  await visitor.open(url, RETURN_TO_PAGE)
  const first = jar.get(`session-${app.id}`) ?? ''
  broker.clock.advance(40_000)
  const { setCookie } = await fromPage(broker, app, first)
  broker.clock.advance(40_000)
  await visitor.open(url, RETURN_TO_PAGE)
  t.equal(jar.get(`session-${app.id}`), valueOf(setCookie))
  t.match(await fromPage(broker, app, valueOf(setCookie)), { status: 200 })
  await fromPage(broker, app, valueOf(setCookie), { method: 'DELETE' })
  jar.delete(`session-${app.id}`)
  await visitor.open(url, RETURN_TO_PAGE)
  t.notOk(jar.has(`session-${app.id}`), 'after the session has ended, there is none')
})

t.test('an app with sessions gets no code and no token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { parameters } = authorizationRequest(app)
  for (const path of ['/oauth/authorize', `/connect/${app.id}`]) {
    const url = `${broker.url}${path}?${new URLSearchParams(parameters).toString()}`
    const answer = await fetch(url, { redirect: 'manual' })
    const location = new URL(answer.headers.get('location') ?? '')
    t.equal(location.origin, PAGE)
    t.equal(location.searchParams.get('error'), 'unauthorized_client', path)
  }
  const { cookie } = await signIn(broker, app)
  const common = { client_id: app.id }
  const requests: Record<string, string>[] = [
    { grant_type: 'authorization_code', code: 'x', code_verifier: 'x', redirect_uri: PAGE },
    { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: 'x' },
    { grant_type: 'refresh_token', refresh_token: cookie },
    ...['jwt', 'access_token'].map((type) => ({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: cookie,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      requested_token_type: `urn:ietf:params:oauth:token-type:${type}`,
    })),
  ]
  for (const form of requests) {
    const answer = await postForm(`${broker.url}/oauth/token`, { ...common, ...form })
    t.match(answer, { status: 400, body: { error: 'unauthorized_client' } }, form.grant_type ?? '')
    t.equal(answer.body.access_token, undefined)
  }
  const device = await postForm(`${broker.url}/oauth/device_authorization`, common)
  t.match(device, { status: 400, body: { error: 'unauthorized_client' } })
  t.match(await exchange(broker, cookie), { status: 400, body: { error: 'unauthorized_client' } })
  const userinfo = await fetch(`${broker.url}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${cookie}` },
  })
  t.equal(userinfo.status, 401)
  t.match(await fromPage(broker, app, cookie), { status: 200 }, 'the session goes on')
})

t.test('an app that changes its kind of session', async (t) => {
  const broker = await buildBroker(t)
  const plain = { session: 'token', access: 'proxy' } as const
  const app = await addApp(broker, { redirectUris: [RETURN_TO_PAGE] })
  const { brokerToken } = await connect(broker, app)
  await broker.services.apps.set(app.id, { session: 'cookie', access: 'proxy' }, 'test')
  const refused = await exchange(broker, brokerToken)
  t.match(refused, { status: 400, body: { error: 'unauthorized_client' } }, 'its old tokens')
  const { cookie } = await signIn(broker, app)

  // While a user is at Ellipsis Drive.
  const switched = async (begin: () => Promise<{ returned: URL }>, to: object, back: object) => {
    const { connect: flow } = broker.services
    const finish = flow.finish.bind(flow)
    Object.assign(flow, {
      finish: async (callback: Parameters<typeof finish>[0]) => {
        await broker.services.apps.set(app.id, to, 'test')
        return finish(callback)
      },
    })
    const { returned } = await begin()
    Object.assign(flow, { finish })
    await broker.services.apps.set(app.id, back, 'test')
    return Object.fromEntries(returned.searchParams)
  }
  const sessions = { session: 'cookie', access: 'proxy' }
  const begun = await switched(() => signIn(broker, app), plain, plain)
  t.notMatch(begun, { code: /./ }, 'no code for a flow that began as a session')
  const asCode = await switched(() => authorize(broker, app), sessions, sessions)
  t.match(asCode, { error: 'unauthorized_client' })

  await broker.services.apps.set(app.id, plain, 'test')
  const kept = await fromPage(broker, app, cookie)
  t.match(kept, { status: 400, body: { error: 'unauthorized_client' } }, 'its old cookies')
})
