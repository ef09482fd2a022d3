/** The error table, cell by cell: each error in each of the three forms of a swap. */
import t from 'tap'
import type { Test } from 'tap'
import type { App } from '../../../db/store.ts'
import { StoreUnavailableError } from '../../../db/errors.ts'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../../helper.ts'
import type { TestBroker, TestOptions } from '../../helper.ts'
import { swapAtToken } from './begin.ts'

/** One cell of the error table. */
type Cell = [status: number, error: string]
type Row = { exchange: Cell; tokenExchange: Cell; refreshToken: Cell }

const TOKEN_REFUSED: Row = {
  exchange: [401, 'invalid_token'],
  tokenExchange: [400, 'invalid_request'],
  refreshToken: [400, 'invalid_grant'],
}
const everywhere = (status: number, error: string): Row => ({
  exchange: [status, error],
  tokenExchange: [status, error],
  refreshToken: [status, error],
})

/** Presents a token in all three forms, and compares the answers with a row of the error table. */
async function present(
  t: Test,
  { broker, token, client }: { broker: TestBroker; token: string; client: Record<string, string> },
  row: Row,
  more: { reconnect?: boolean; force?: boolean } = {},
): Promise<void> {
  const { force } = more
  const form = { ...client, ...(force && { force: 'true' }) }
  // The broker pauses before it confirms a refusal, and between retries.
  const { hurry } = broker.clock
  const answers = {
    exchange: await hurry(exchange(broker, token, force ? { force } : undefined)),
    tokenExchange: await hurry(swapAtToken(broker, token, form)),
    refreshToken: await hurry(refresh(broker, token, form)),
  }
  for (const [name, answer] of Object.entries(answers)) {
    const [status, error] = row[name as keyof Row]
    t.match(answer, { status, body: { error, error_description: /.{10}/ } }, name)
    t.equal('reconnect_url' in answer.body, more.reconnect ?? false, `${name}: reconnect_url`)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    const waits = status === 503 || status === 429
    t.equal(answer.headers.get('retry-after') !== null, waits, `${name}: Retry-After`)
    t.equal('retry_after' in answer.body, waits)
    const challenge = { exchange: /^Bearer/, tokenExchange: /^Basic/, refreshToken: /^Basic/ }
    if (status === 401) {
      t.match(answer.headers.get('www-authenticate'), challenge[name as keyof Row], name)
    }
  }
}

const refresh = (broker: TestBroker, token: string, more: Record<string, string> = {}) =>
  postForm(`${broker.url}/oauth/token`, {
    grant_type: 'refresh_token',
    refresh_token: token,
    ...more,
  })

/** A user connected to an app whose broker token is accepted in all three forms. */
async function begin(t: Test, options: TestOptions = {}) {
  const broker = await buildBroker(t, options)
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const token = await connectAs(broker, app)
  return { broker, app, token, client: { client_id: app.id } }
}

async function connectAs(
  broker: TestBroker,
  app: App,
  more: Record<string, string> = {},
): Promise<string> {
  const { returned, verifier } = await authorize(broker, app)
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
    ...more,
  })
  return String(body.refresh_token)
}

t.test('the token is malformed, has a wrong signature, or is of a revoked grant', async (t) => {
  const session = await begin(t)
  await present(t, { ...session, token: 'nonsense' }, TOKEN_REFUSED)
  await present(t, { ...session, token: `${session.token.slice(0, -4)}AAAA` }, TOKEN_REFUSED)
  t.equal((await refresh(session.broker, session.token, session.client)).status, 200)
  await postForm(`${session.broker.url}/oauth/revoke`, { token: session.token, ...session.client })
  await present(t, session, TOKEN_REFUSED)
})

t.test('no token, or one in the URL', async (t) => {
  const { broker, token: brokerToken } = await begin(t)
  for (const name of ['access_token', 'token', 'broker_token']) {
    for (const [method, path] of [
      ['POST', '/exchange'],
      ['GET', '/oauth/userinfo'],
      ['POST', '/oauth/revoke'],
    ] as const) {
      const query = new URLSearchParams({ [name]: brokerToken }).toString()
      const answer = await fetch(`${broker.url}${path}?${query}`, { method })
      t.ok([400, 401, 415].includes(answer.status), `${method} ${path}?${name}: ${answer.status}`)
    }
  }
  t.equal((await exchange(broker, brokerToken)).status, 200, 'the token is valid')
  const none = await fetch(`${broker.url}/exchange`, { method: 'POST' })
  t.equal(none.status, 401)
  t.match(none.headers.get('www-authenticate'), 'Bearer error="invalid_token"')
  for (const grantType of ['refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange']) {
    const answer = await postForm(`${broker.url}/oauth/token`, { grant_type: grantType })
    t.match(answer, { status: 400, body: { error: 'invalid_request' } })
  }
})

t.test('the token has expired', async (t) => {
  const session = await begin(t)
  session.broker.clock.advance(31 * 86_400_000)
  await present(t, session, TOKEN_REFUSED)
})

t.test('the app was removed', async (t) => {
  const session = await begin(t)
  await session.broker.services.apps.remove(session.app.id, 'test')
  await present(t, session, TOKEN_REFUSED)
})

t.test('the signing key was revoked', async (t) => {
  const session = await begin(t)
  const { kid } = await session.broker.services.keys.current('EdDSA')
  await session.broker.services.keys.revoke(kid, 'test')
  await present(t, session, TOKEN_REFUSED)
})

t.test('the connection needs a reconnect, then is revoked', async (t) => {
  const session = await begin(t)
  const { broker } = session
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  broker.clock.advance(3_590_000)
  const row: Row = {
    exchange: [403, 'reconnect_required'],
    tokenExchange: [403, 'reconnect_required'],
    refreshToken: [400, 'invalid_grant'],
  }
  await present(t, session, row, { reconnect: true })
  const { body } = await exchange(broker, session.token)
  t.match(
    body.reconnect_url,
    `${broker.url}/connect/${session.app.id}?connection=${connection?.id}`,
  )
  await broker.services.connections.revoke(connection?.id ?? '', 'test')
  await present(t, session, TOKEN_REFUSED, { reconnect: true })
})

t.test('the app is removed while its revoked connection is reported', async (t) => {
  const session = await begin(t)
  const { store, apps, connections } = session.broker.services
  const [connection] = await Array.fromAsync(connections.all())
  await connections.revoke(connection?.id ?? '', 'test')
  const read = store.getSwapState.bind(store)
  store.getSwapState = async (key) => {
    const state = await read(key)
    await apps.remove(session.app.id, 'test')
    return state
  }
  const answer = await exchange(session.broker, session.token)
  t.match(answer, { status: 401, body: { error: 'invalid_token' } })
  t.notOk('reconnect_url' in answer.body, 'no reconnect_url without the app')
})

t.test('the client is not authenticated, or the token is of another app', async (t) => {
  const { broker, token } = await begin(t)
  const { app, clientSecret } = await addAppWithSecret(broker, {
    confidential: true,
    tokens: 'ellipsis',
  })
  const own = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
  const serverToken = await connectAs(broker, app, own)
  const row = everywhere(401, 'invalid_client')
  for (const client of [{}, { client_id: app.id }, { ...own, client_secret: 'x' }]) {
    await present(t, { broker, token: serverToken, client: client }, row)
    const revoked = await postForm(`${broker.url}/oauth/revoke`, { token: serverToken, ...client })
    t.match(
      revoked,
      { status: 401, body: { error: 'invalid_client' } },
      'revocation is refused too',
    )
  }
  t.equal((await refresh(broker, serverToken, own)).status, 200, 'the token is still valid')
  for (const answer of [
    await swapAtToken(broker, token, own),
    await refresh(broker, token, own),
    await refresh(broker, token, { client_id: 'app_unknown' }),
  ]) {
    t.match(answer, { status: 401, body: { error: 'invalid_client' } })
  }
})

t.test('Ellipsis Drive is unavailable', async (t) => {
  const session = await begin(t)
  session.broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  session.broker.clock.advance(3_601_000)
  await present(t, session, everywhere(503, 'temporarily_unavailable'))
})

t.test('a refresh is forced too often', async (t) => {
  const session = await begin(t)
  t.equal((await exchange(session.broker, session.token, { force: true })).status, 200)
  await present(t, session, everywhere(429, 'slow_down'), { force: true })
})

t.test('too many failures', async (t) => {
  const session = await begin(t, { env: { BROKER_FAILURE_LIMIT: '2' } })
  const bad = { ...session, token: 'nonsense' }
  for (let count = 0; count < 2; count++) await exchange(session.broker, 'nonsense')
  await present(t, bad, {
    exchange: [429, 'slow_down'],
    tokenExchange: [400, 'invalid_request'],
    refreshToken: [400, 'invalid_grant'],
  })
  await present(t, bad, everywhere(429, 'slow_down'))
})

t.test('an app without Ellipsis tokens has no refresh tokens', async (t) => {
  const { broker, token, app } = await begin(t)
  await broker.services.apps.set(app.id, { tokens: 'broker' }, 'test')
  t.match(await refresh(broker, token, { client_id: app.id }), {
    status: 400,
    body: { error: 'unauthorized_client' },
  })
  t.equal((await exchange(broker, token)).status, 200)
})

t.test('a temporarily unavailable store is temporarily_unavailable', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const busy = () => Promise.reject(new StoreUnavailableError('SQLITE_BUSY', null))
  Object.assign(broker.services.store, { getSwapState: busy })
  const answer = await exchange(broker, brokerToken)
  t.match(answer, { status: 503, body: { error: 'temporarily_unavailable', retry_after: 5 } })
})
