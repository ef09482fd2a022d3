import t from 'tap'
import type { Test } from 'tap'
import {
  RETURN,
  addApp,
  allow,
  authorizationRequest,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { signInAtMe, textOf } from '../me/begin.ts'

// What Ellipsis Drive does with the refresh tokens of earlier authorizations is unknown.

for (const switches of [
  ...(['never', 'always', 'grace'] as const).map((rotation) => ({ rotation })),
  { omitRefreshToken: true },
  { singleRefreshToken: true },
  { singleRefreshToken: true, rotation: 'always' as const },
]) {
  t.test(`a sign-in ends no connection: ${JSON.stringify(switches)}`, async (t) => {
    const broker = await buildBroker(t, { switches })
    const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
    const stored = async () => broker.services.store.getConnection(connectionId)
    const before = await stored()
    const { page } = await signInAtMe(broker)
    t.match(textOf(page), 'Disconnect Test map')
    t.notMatch(textOf(page), 'reconnect')
    t.equal((await stored())?.status, 'active')
    t.equal((await exchange(broker, brokerToken, { force: true })).status, 200)
    broker.clock.advance(2 * 3_600_000)
    t.equal((await exchange(broker, brokerToken)).status, 200, 'and after its token expired')
    const { rows } = await broker.services.store.listEvents({ limit: 50 })
    const isRecovered = rows.some(({ action }) => action === 'connection.recovered')
    t.equal(isRecovered, 'singleRefreshToken' in switches, 'its tokens are used only if needed')
    t.equal((await stored())?.connectedAt, before?.connectedAt)
  })
}

t.test('signing in stores nothing for an account without a connection', async (t) => {
  const broker = await buildBroker(t)
  const { page } = await signInAtMe(broker)
  t.match(textOf(page), 'No app uses your Ellipsis Drive')
  const count = await broker.services.store.countConnections()
  t.strictSame(count, { active: 0, needs_reconnect: 0, revoked: 0 })
  const { rows } = await broker.services.store.listEvents({ limit: 50 })
  t.strictSame(
    rows.filter(({ action }) => action !== 'key.created'),
    [],
  )
})

t.test('while Ellipsis Drive cannot refresh, the connection gets the newer tokens', async (t) => {
  const broker = await buildBroker(t, { switches: { singleRefreshToken: true } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  broker.standIn.faults.add({ endpoint: 'refresh', kind: 'status', status: 503, share: 1 })
  await signInAtMe(broker)
  broker.standIn.faults.clear()
  broker.clock.advance(2 * 3_600_000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

/** A broker with one refresh token for each user, that does something whenever the account is read. */
async function buildSlowBroker(t: Parameters<typeof buildBroker>[0]) {
  const during = { account: async () => {} }
  const slowFetch: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    if (new Request(input).url.endsWith('/account')) await during.account()
    return answer
  }
  const switches = { singleRefreshToken: true, rotation: 'always' as const }
  const broker = await buildBroker(t, { switches, runtime: { fetch: slowFetch } })
  const connected = await connect(broker, await addApp(broker))
  return { broker, during, ...connected }
}

/** Is the connection as good as before the sign-in, also once its access token has expired? */
async function checkAlive(t: Test, broker: TestBroker, brokerToken: string) {
  broker.clock.advance(2 * 3_600_000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
}

t.test('a refresh between the sign-in and its answer ends no connection', async (t) => {
  const { broker, during, brokerToken, connectionId } = await buildSlowBroker(t)
  during.account = async () => {
    during.account = async () => {}
    t.equal((await exchange(broker, brokerToken, { force: true })).status, 403)
  }
  await signInAtMe(broker)
  t.match(await broker.services.store.getConnection(connectionId), { status: 'active' })
  await checkAlive(t, broker, brokerToken)
})

t.test('two sign-ins at the same time end no connection', async (t) => {
  const { broker, during, brokerToken } = await buildSlowBroker(t)
  const callbacks = await Promise.all(
    [new Visitor(), new Visitor()].map(async (visitor) => {
      const start = await visitor.open(`${broker.url}/me`)
      const upstream = await visitor.press(start, 'Continue to Ellipsis Drive')
      return { visitor, page: await allow(visitor, upstream, 'amelie', `${broker.url}/callback`) }
    }),
  )
  const both = Promise.withResolvers<undefined>()
  let count = 0
  during.account = () => {
    if (++count === callbacks.length) both.resolve(undefined)
    return both.promise
  }
  const pages = await Promise.all(callbacks.map(({ visitor, page }) => visitor.open(page.url)))
  for (const page of pages) t.match(textOf(page), 'Signed in as amelie')
  await checkAlive(t, broker, brokerToken)
})

for (const choice of ['strict', 'restart', 'continue', 'nothing'] as const)
  t.test(`an account that came back unasked keeps its connection: ${choice}`, async (t) => {
    const switches = { singleRefreshToken: true, rotation: 'always' as const }
    const broker = await buildBroker(t, { switches })
    const app = await addApp(broker)
    const { brokerToken } = await connect(broker, app, { user: 'bo' })
    const hint = { login_hint: 'amelie', ...(choice === 'strict' && { strict_account: 'true' }) }
    const { parameters } = authorizationRequest(app, hint)
    const { body } = await postForm(`${broker.url}/oauth/par`, parameters)
    const pushed = { client_id: app.id, request_uri: String(body.request_uri) }
    const query = new URLSearchParams(pushed).toString()
    const visitor = new Visitor()
    const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
    const page = await allow(visitor, login, 'bo', RETURN)
    if (choice === 'strict') t.match(page.url, 'error=')
    else t.match(page.body, 'Which account')
    broker.clock.advance(4 * 60_000)
    t.equal((await exchange(broker, brokerToken, { force: true })).status, 200)
    if (choice === 'restart') await visitor.press(page, 'Use another account')
    if (choice === 'continue')
      t.match((await visitor.press(page, 'Continue as bo', {}, RETURN)).url, 'code=')
    await checkAlive(t, broker, brokerToken)
  })
