import t from 'tap'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import { rewritingFetch } from '../ellipsis/rewrite.ts'

const EXPIRED: unknown[] = [0, -1, -3600, 0.4, '0', '-60', '0.0']

t.test('a token that has expired when it comes is not handed out later', async (t) => {
  for (const minTtl of ['60', '0']) {
    for (const expiresIn of EXPIRED) {
      const change = { token: (json: object) => ({ ...json, expires_in: expiresIn }) }
      const broker = await buildBroker(t, {
        runtime: { fetch: rewritingFetch(change) },
        env: { BROKER_MIN_TTL: minTtl },
      })
      broker.clock.stop()
      const { brokerToken } = await connect(broker, await addApp(broker))
      const first = await exchange(broker, brokerToken)
      t.match(first, { status: 200, body: { expires_in: 0 } }, 'whoever fetched it sees it')
      t.equal(broker.standIn.calls.refresh, 1)
      for (let i = 0; i < 10; i++) {
        const soon = await exchange(broker, brokerToken)
        t.match(soon, { status: 503, body: { error: 'temporarily_unavailable', retry_after: 1 } })
        t.match(soon.body.error_description, /Ellipsis Drive sends access tokens that have already/)
      }
      t.equal(
        broker.standIn.calls.refresh,
        1,
        'and the connection is not refreshed again and again',
      )
      broker.clock.advance(1000)
      const second = await exchange(broker, brokerToken)
      t.equal(second.status, 200)
      t.not(second.body.access_token, first.body.access_token)
      t.equal(broker.standIn.calls.refresh, 2)
      change.token = (json) => ({ ...json, expires_in: 600 })
      broker.clock.advance(1000)
      t.match(await exchange(broker, brokerToken), { status: 200, body: { expires_in: 600 } })
      t.match(await exchange(broker, brokerToken), { status: 200, body: { expires_in: 600 } })
      t.equal(broker.standIn.calls.refresh, 3)
    }
  }
})

t.test('a forced refresh of such a token is made', async (t) => {
  const change = { token: (json: object) => ({ ...json, expires_in: 0 }) }
  const broker = await buildBroker(t, { runtime: { fetch: rewritingFetch(change) } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  await exchange(broker, brokerToken)
  t.equal((await exchange(broker, brokerToken, { force: true })).status, 200)
  t.equal(broker.standIn.calls.refresh, 2)
})

t.test('in real time a connection is refreshed about once a second, also ahead', async (t) => {
  const change = { token: (json: object) => ({ ...json, expires_in: -5 }) }
  const broker = await buildBroker(t, { runtime: { fetch: rewritingFetch(change) } })
  broker.services.refreshAhead.start()
  const { brokerToken } = await connect(broker, await addApp(broker))
  const end = Date.now() + 2500
  let exchanges = 0
  for (; Date.now() < end; exchanges++) {
    await Promise.all([exchange(broker, brokerToken), exchange(broker, brokerToken)])
  }
  t.ok(exchanges > 10)
  t.ok(broker.standIn.calls.refresh <= 4, `${broker.standIn.calls.refresh} refreshes`)
})

t.test(
  'an access token that is too large is named, and the connection loses nothing',
  async (t) => {
    const large = 'a'.repeat(16 * 1024 + 1)
    for (const [rotation, omitRefreshToken] of [
      ['never', false],
      ['never', true],
      ['always', false],
    ] as const) {
      const change: Parameters<typeof rewritingFetch>[0] = {}
      const broker = await buildBroker(t, {
        runtime: { fetch: rewritingFetch(change) },
        switches: { rotation, omitRefreshToken, tokenLifetime: 100 },
      })
      const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
      change.token = (json) => ({ ...json, access_token: large })
      broker.clock.advance(200_000)
      const failed = await exchange(broker, brokerToken)
      t.match(failed, { status: 503, body: { error: 'temporarily_unavailable' } })
      t.match(failed.body.error_description, /access token is too large.*Tell the host/)
      const connection = await broker.services.store.getConnection(connectionId)
      t.match(connection, { status: 'active', staleReason: null })
      t.match(connection?.lastError, /access token is too large/)
      t.notMatch(connection?.lastError, /lost/)
      delete change.token
      broker.clock.advance(60_000)
      t.equal((await exchange(broker, brokerToken)).status, 200, 'it works again')
    }
  },
)
