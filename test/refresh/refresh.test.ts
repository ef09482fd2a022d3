import t from 'tap'
import type { Store } from '../../db/store.ts'
import { BrokerError } from '../../server/errors.ts'
import { Secret } from '../../server/secret.ts'
import { addApp, buildBroker, connect, exchange, scrape } from '../helper.ts'
import type { TestBroker, TestOptions } from '../helper.ts'

/** A broker with one connected app, whose access token has just expired. */
async function begin(t: Parameters<typeof buildBroker>[0], options: TestOptions = {}) {
  const broker = await buildBroker(t, options)
  const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
  broker.clock.advance(3_601_000)
  const show = async () => (await broker.services.connections.show(connectionId)).connection
  return { broker, brokerToken, connectionId, show }
}

/** Delay of a late answer of upstream, milliseconds of the test's clock. */
const LATE_MS = 9000

/** A swap whose refresh Ellipsis Drive has processed, but not answered yet. */
async function beginLate(broker: TestBroker, brokerToken: string) {
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'late', milliseconds: LATE_MS, times: 1 })
  const swap = exchange(broker, brokerToken)
  await broker.clock.asleep(LATE_MS)
  return { swap, answer: () => broker.clock.advance(LATE_MS) }
}

/** Makes one method of the store fail the next `times` times. */
function breakStore(broker: TestBroker, method: keyof Store, times: number): void {
  const { store } = broker.services
  const original = store[method] as (...args: unknown[]) => Promise<unknown>
  let remaining = times
  Object.assign(store, {
    [method]: (...args: unknown[]) =>
      remaining-- > 0 ? Promise.reject(new Error('the disk is full')) : original(...args),
  })
}

t.test('refreshed tokens are kept in memory until the store accepts them', async (t) => {
  const { broker, brokerToken, show } = await begin(t, { switches: { rotation: 'always' } })
  breakStore(broker, 'saveTokens', 3)
  t.equal((await broker.clock.hurry(exchange(broker, brokerToken))).status, 200)
  t.equal(broker.standIn.calls.refresh, 1, 'upstream was called once')
  t.ok(broker.logged.some((line) => line.includes('can’t be stored')))
  const { refreshToken } = await show()
  const opened = broker.services.vault.open(
    `connections/${(await show()).id}/refresh_token`,
    refreshToken ?? new Uint8Array(),
  )
  t.equal(broker.standIn.honours(opened.reveal()), true)
})

t.test('the previous refresh token is kept until the new one has worked', async (t) => {
  const { broker, brokerToken, show } = await begin(t, { switches: { rotation: 'always' } })
  await exchange(broker, brokerToken)
  const open = async (column: 'refresh_token' | 'previous_refresh_token') => {
    const row = await show()
    const sealed = column === 'refresh_token' ? row.refreshToken : row.previousRefreshToken
    if (!sealed) return null
    return broker.services.vault.open(`connections/${row.id}/${column}`, sealed).reveal()
  }
  const current = await open('refresh_token')
  t.equal(broker.standIn.honours(current ?? ''), true)
  t.equal(broker.standIn.honours((await open('previous_refresh_token')) ?? ''), false)
  broker.standIn.switches.omitRefreshToken = true
  broker.clock.advance(3_590_000)
  await exchange(broker, brokerToken)
  t.equal(await open('refresh_token'), current, 'none in the answer: the old one stays')
  t.equal(await open('previous_refresh_token'), null)
})

t.test('the previous token is tried once, after the refusal has lasted for a while', async (t) => {
  const { broker, brokerToken, connectionId, show } = await begin(t)
  const other = await connect(broker, await addApp(broker), { user: 'bo' })
  const { store, vault } = broker.services
  const prefix = `connections/${connectionId}` as const
  const row = await show()
  const good = vault.open(`${prefix}/refresh_token`, row.refreshToken ?? new Uint8Array())
  // As if upstream had lost the newest token in a restore.
  await store.takeLease({
    id: connectionId,
    expectedGeneration: row.generation,
    owner: 'x',
    forMs: 0,
    maxLeaseMs: 30_000,
    deadOwner: null,
  })
  await store.saveTokens({
    id: connectionId,
    expectedGeneration: row.generation,
    tokens: {
      refreshToken: vault.seal(`${prefix}/refresh_token`, new Secret('never-heard-of')),
      accessToken: vault.seal(`${prefix}/access_token`, new Secret('old')),
      accessTokenExpiresAt: 0,
      accessTokenFetchedAt: 0,
    },
    previousRefreshToken: vault.seal(`${prefix}/previous_refresh_token`, good),
    now: 0,
    events: [],
  })
  const swap = (token: string) => broker.clock.hurry(exchange(broker, token))
  t.equal((await swap(brokerToken)).status, 403)
  t.equal(broker.standIn.calls.refresh, 2)
  broker.clock.advance(120_000)
  t.equal((await swap(brokerToken)).status, 403, 'all connections may be refused at the moment')
  broker.clock.advance(3_600_000)
  t.equal((await swap(other.brokerToken)).status, 200)
  t.equal((await swap(brokerToken)).status, 200)
  t.match(await show(), { status: 'active', lastError: null })
})

t.test('a lost answer is reported as the reason', async (t) => {
  const { broker, brokerToken, show } = await begin(t, { switches: { rotation: 'always' } })
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'cut-after', times: 1 })
  t.equal((await exchange(broker, brokerToken)).status, 503)
  t.match(await show(), { status: 'active', failures: 1, lastError: /answer .* was lost/ })
  broker.clock.advance(5000)
  t.equal((await broker.clock.hurry(exchange(broker, brokerToken))).status, 403)
  t.match(await show(), { status: 'needs_reconnect', lastError: /answer .* was lost/ })
})

t.test('with a grace period upstream, a lost answer has no consequence', async (t) => {
  const { broker, brokerToken } = await begin(t, { switches: { rotation: 'grace' } })
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'cut-after', times: 1 })
  t.equal((await exchange(broker, brokerToken)).status, 503)
  broker.clock.advance(5000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('a late answer is stored although no request waits for it', async (t) => {
  const { broker, brokerToken, show } = await begin(t, {
    switches: { rotation: 'always' },
  })
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'late', milliseconds: 11_000, times: 1 })
  const swap = exchange(broker, brokerToken)
  await broker.clock.asleep(11_000)
  broker.clock.advance(10_000)
  t.equal((await swap).status, 503, 'waiters give up after ten seconds')
  t.equal((await show()).generation, 1)
  broker.clock.advance(1000)
  await broker.services.refresher.settled()
  t.equal((await show()).generation, 2)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.equal(broker.standIn.calls.refresh, 1)
})

t.test('a process finishes the refresh of a process that was killed', async (t) => {
  const { broker, brokerToken, connectionId, show } = await begin(t)
  const { generation } = await show()
  const lease = {
    id: connectionId,
    expectedGeneration: generation,
    owner: 'dead',
    forMs: 30_000,
    maxLeaseMs: 30_000,
    deadOwner: null,
  }
  t.equal(await broker.services.store.takeLease(lease), true)
  const { store } = broker.services
  const { takeLease } = store
  let [tries, tried] = [0, () => undefined as void]
  const triedThrice = new Promise<void>((resolve) => (tried = resolve))
  store.takeLease = async (...given) => {
    const taken = await takeLease(...given)
    if (++tries === 3) tried()
    return taken
  }
  const waiting = exchange(broker, brokerToken)
  await triedThrice
  t.equal(broker.standIn.calls.refresh, 0, 'the lease is respected')
  // By then upstream has processed the call.
  broker.clock.advance(5000)
  t.equal((await waiting).status, 200)
  t.equal(broker.standIn.calls.refresh, 1)
})

t.test('a lease that ends later than possible counts as expired', async (t) => {
  const { broker, brokerToken, connectionId, show } = await begin(t)
  const { generation } = await show()
  const lease = { id: connectionId, expectedGeneration: generation, owner: 'jumped' }
  const bounds = { forMs: 3_600_000, maxLeaseMs: 30_000, deadOwner: null }
  t.equal(await broker.services.store.takeLease({ ...lease, ...bounds }), true)
  t.equal((await broker.clock.hurry(exchange(broker, brokerToken))).status, 200)
})

t.test('a reconnect during a refresh wins', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, connectionId } = await connect(broker, app)
  broker.clock.advance(3_590_000)
  const { swap, answer } = await beginLate(broker, brokerToken)
  const again = await connect(broker, app)
  t.equal(again.connectionId, connectionId)
  answer()
  t.equal((await swap).status, 200)
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.generation, 2, 'the late answer is dropped')
})

t.test('a revocation during a refresh holds', async (t) => {
  const { broker, brokerToken, connectionId, show } = await begin(t)
  const { swap, answer } = await beginLate(broker, brokerToken)
  await broker.services.connections.revoke(connectionId, 'test')
  answer()
  t.equal((await swap).status, 401)
  t.match(await show(), { status: 'revoked', refreshToken: null })
})

t.test('a grant that is revoked during its refresh gets no token', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken, grantId } = await connect(broker, await addApp(broker))
  broker.clock.advance(3_590_000)
  const { swap, answer } = await beginLate(broker, brokerToken)
  t.equal(await broker.services.connections.revokeGrant(grantId, 'test'), true)
  t.equal(await broker.services.connections.revokeGrant('grant_x', 'test'), false)
  answer()
  t.equal((await swap).status, 401)
})

t.test('a connection sealed with an unknown key is a 503, and is not marked', async (t) => {
  const { broker, brokerToken, show } = await begin(t)
  broker.services.vault.open = () => {
    throw new BrokerError('temporarily_unavailable', { cause: new Error('unknown key') })
  }
  t.equal((await exchange(broker, brokerToken)).status, 503)
  t.match(await show(), { status: 'active', failures: 0 })
})

t.test(
  'unclear answers are a refusal only if they continue while others are refreshed',
  async (t) => {
    const broker = await buildBroker(t, { switches: { errorShape: 'message' } })
    const app = await addApp(broker)
    const dead = await connect(broker, app)
    const well = await connect(broker, app, { user: 'bo' })
    const { vault } = broker.services
    const { connection } = await broker.services.connections.show(dead.connectionId)
    const sealed = connection.refreshToken ?? new Uint8Array()
    const token = vault.open(`connections/${dead.connectionId}/refresh_token`, sealed)
    broker.standIn.revokeRefreshToken(token.reveal())
    broker.clock.advance(3_590_000)
    const ask = async () => {
      broker.clock.advance(60_000)
      return (await broker.clock.hurry(exchange(broker, dead.brokerToken))).status
    }
    for (let round = 0; round < 8; round++) t.equal(await ask(), 503)
    t.equal((await exchange(broker, well.brokerToken)).status, 200)
    t.equal(await ask(), 403)
  },
)

t.test('an outage opens the circuit breaker: few calls, and /readyz shows it', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  broker.standIn.addUser('chen')
  const users = await Promise.all(
    ['amelie', 'bo', 'chen'].map((user) => connect(broker, app, { user })),
  )
  broker.clock.advance(3_601_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 500, times: 1000 })
  const beganAt = broker.clock.steady()
  for (let round = 0; round < 30; round++) {
    broker.clock.advance(200)
    for (const { brokerToken } of users) {
      t.equal((await broker.clock.hurry(exchange(broker, brokerToken))).status, 503)
    }
  }
  const seconds = (broker.clock.steady() - beganAt) / 1000
  t.ok(broker.standIn.calls.refresh < 9 + seconds, `${broker.standIn.calls.refresh} calls`)
  const ready = await fetch(`${broker.url}/readyz`)
  t.match(await ready.json(), { status: 'ready', upstream: 'failing', breaker: 'open' })
  for (const { connectionId } of users) {
    const { connection } = await broker.services.connections.show(connectionId)
    t.equal(connection.status, 'active')
  }
  const metrics = await scrape(broker)
  t.match(metrics, 'ellipsis_broker_breaker{state="open"} 1')
  t.match(metrics, /ellipsis_broker_refreshes_total{result="failed"} [1-9]/)
})

t.test('settled waits for a refresh in progress', async (t) => {
  const { broker, brokerToken, show } = await begin(t, { switches: { rotation: 'always' } })
  const { swap, answer } = await beginLate(broker, brokerToken)
  let isSettled = false
  const settled = broker.services.refresher.settled().then(() => (isSettled = true))
  await exchange(broker, 'another request, which is answered meanwhile')
  t.equal(isSettled, false)
  answer()
  await settled
  t.equal((await show()).generation, 2)
  t.equal((await swap).status, 200)
})

t.test('a refresh token without an access token is stored', async (t) => {
  const broker = await buildBroker(t, {
    switches: { rotation: 'always' },
    runtime: { fetch: dropAccessToken },
  })
  const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
  broker.clock.advance(3_601_000)
  dropping = true
  t.equal((await exchange(broker, brokerToken)).status, 503)
  dropping = false
  broker.clock.advance(3000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.generation, 3)
})

let dropping = false

/** A network that removes the access token from responses while `dropping`. */
const dropAccessToken: typeof fetch = async (...args) => {
  const response = await fetch(...args)
  if (!dropping) return response
  const body = (await response.json()) as Record<string, unknown>
  return new Response(JSON.stringify({ ...body, access_token: null }))
}
