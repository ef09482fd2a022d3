/** The table of errors, cell by cell: what is wrong, told in each of the swap's three forms. */
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

/** One cell: status, code, and whether the answer says where to reconnect. */
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

/** Presents a token in all three forms, and compares the answers with a row of the table. */
async function present(
  t: Test,
  { broker, token, client }: { broker: TestBroker; token: string; client: Record<string, string> },
  row: Row,
  more: { reconnect?: boolean; force?: boolean } = {},
): Promise<void> {
  const { force } = more
  const form = { ...client, ...(force && { force: 'true' }) }
  // Before a refusal is believed, and between retries, the broker pauses.
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

/** A user who connected an app whose broker token is good in all three forms. */
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

t.test('the token: unreadable, badly signed, or of a grant that was given up', async (t) => {
  const it = await begin(t)
  await present(t, { ...it, token: 'nonsense' }, TOKEN_REFUSED)
  await present(t, { ...it, token: `${it.token.slice(0, -4)}AAAA` }, TOKEN_REFUSED)
  t.equal((await refresh(it.broker, it.token, it.client)).status, 200)
  await postForm(`${it.broker.url}/oauth/revoke`, { token: it.token, ...it.client })
  await present(t, it, TOKEN_REFUSED)
})

t.test('no token', async (t) => {
  const { broker } = await begin(t)
  const none = await fetch(`${broker.url}/exchange`, { method: 'POST' })
  t.equal(none.status, 401)
  t.match(none.headers.get('www-authenticate'), 'Bearer error="invalid_token"')
  for (const grantType of ['refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange']) {
    const answer = await postForm(`${broker.url}/oauth/token`, { grant_type: grantType })
    t.match(answer, { status: 400, body: { error: 'invalid_request' } })
  }
})

t.test('the token has expired', async (t) => {
  const it = await begin(t)
  it.broker.clock.advance(31 * 86_400_000)
  await present(t, it, TOKEN_REFUSED)
})

t.test('the app was removed', async (t) => {
  const it = await begin(t)
  await it.broker.services.apps.remove(it.app.id, 'test')
  await present(t, it, TOKEN_REFUSED)
})

t.test('the signing key was revoked', async (t) => {
  const it = await begin(t)
  const { kid } = await it.broker.services.keys.current()
  await it.broker.services.keys.revoke(kid, 'test')
  await present(t, it, TOKEN_REFUSED)
})

t.test('the connection needs reconnecting, then is revoked', async (t) => {
  const it = await begin(t)
  const { broker } = it
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  broker.clock.advance(3_590_000)
  const row: Row = {
    exchange: [403, 'reconnect_required'],
    tokenExchange: [403, 'reconnect_required'],
    refreshToken: [400, 'invalid_grant'],
  }
  await present(t, it, row, { reconnect: true })
  const { body } = await exchange(broker, it.token)
  t.match(body.reconnect_url, `${broker.url}/connect/${it.app.id}?connection=${connection?.id}`)
  await broker.services.connections.revoke(connection?.id ?? '', 'test')
  await present(t, it, TOKEN_REFUSED, { reconnect: true })
})

t.test('the app is removed just when its user’s connection has ended', async (t) => {
  const it = await begin(t)
  const { store, apps, connections } = it.broker.services
  const [connection] = await Array.fromAsync(connections.all())
  await connections.revoke(connection?.id ?? '', 'test')
  const read = store.getSwapState.bind(store)
  store.getSwapState = async (key) => {
    const state = await read(key)
    await apps.remove(it.app.id, 'test')
    return state
  }
  const answer = await exchange(it.broker, it.token)
  t.match(answer, { status: 401, body: { error: 'invalid_token' } })
  t.notOk('reconnect_url' in answer.body, 'there is nowhere to reconnect')
})

t.test('the client isn’t authenticated, or the token is another’s', async (t) => {
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
    t.match(revoked, { status: 401, body: { error: 'invalid_client' } }, 'nor revoked')
  }
  t.equal((await refresh(broker, serverToken, own)).status, 200, 'it is as good as before')
  for (const answer of [
    await swapAtToken(broker, token, own),
    await refresh(broker, token, own),
    await refresh(broker, token, { client_id: 'app_unknown' }),
  ]) {
    t.match(answer, { status: 401, body: { error: 'invalid_client' } })
  }
})

t.test('Ellipsis Drive is away', async (t) => {
  const it = await begin(t)
  it.broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  it.broker.clock.advance(3_601_000)
  await present(t, it, everywhere(503, 'temporarily_unavailable'))
})

t.test('a token is forced too often', async (t) => {
  const it = await begin(t)
  t.equal((await exchange(it.broker, it.token, { force: true })).status, 200)
  await present(t, it, everywhere(429, 'slow_down'), { force: true })
})

t.test('too many failures', async (t) => {
  const it = await begin(t, { env: { BROKER_FAILURE_LIMIT: '2' } })
  const bad = { ...it, token: 'nonsense' }
  for (let count = 0; count < 2; count++) await exchange(it.broker, 'nonsense')
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

t.test('a store that can’t be used now is told as something that passes', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const busy = () => Promise.reject(new StoreUnavailableError('SQLITE_BUSY', null))
  Object.assign(broker.services.store, { getSwapState: busy })
  const answer = await exchange(broker, brokerToken)
  t.match(answer, { status: 503, body: { error: 'temporarily_unavailable', retry_after: 5 } })
})
