import t from 'tap'
import { exchange } from '../../helper.ts'
import { size } from '../../size.ts'
import { swapAtToken, begin, ACCESS_TOKEN } from './begin.ts'

t.test('a swap returns Ellipsis Drive’s access token at both endpoints', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const sentAt = broker.clock.now() / 1000
  const one = await exchange(broker, brokerToken)
  const answeredAt = broker.clock.now() / 1000
  t.equal(one.status, 200)
  t.match(one.body, { token_type: 'Bearer', scope: 'projects' })
  t.ok(broker.standIn.issued().includes(String(one.body.access_token)))
  const expiresIn = Number(one.body.expires_in)
  t.ok(expiresIn > 3500 && expiresIn <= 3600)
  const at = Number(one.body.expires_at) - expiresIn
  t.ok(at > sentAt - 2 && at < answeredAt + 2)
  t.equal(one.headers.get('cache-control'), 'no-store')

  const two = await swapAtToken(broker, brokerToken)
  t.equal(two.status, 200)
  t.match(two.body, { access_token: one.body.access_token, issued_token_type: ACCESS_TOKEN })
  t.equal(broker.standIn.calls.refresh, 0, 'the access token of the authorization is still valid')
})

t.test('an expired access token is refreshed, once', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const before = await exchange(broker, brokerToken)
  broker.clock.advance(3_590_000)
  const after = await exchange(broker, brokerToken)
  t.equal(after.status, 200)
  t.not(after.body.access_token, before.body.access_token)
  await exchange(broker, brokerToken)
  t.equal(broker.standIn.calls.refresh, 1)
})

t.test(
  'a token is refreshed after the clock was set back, because its expiry is unknown',
  async (t) => {
    const { broker, brokerToken } = await begin(t)
    const before = await exchange(broker, brokerToken)
    broker.clock.advance(-500)
    await exchange(broker, brokerToken)
    t.equal(broker.standIn.calls.refresh, 0, 'small clock corrections are ignored')
    broker.clock.advance(-3_600_000)
    const after = await exchange(broker, brokerToken)
    t.equal(after.status, 200)
    t.not(after.body.access_token, before.body.access_token)
    t.equal(broker.standIn.calls.refresh, 1)
  },
)

t.test(
  'min_ttl is the minimum remaining lifetime; a fresh token always satisfies it',
  async (t) => {
    const { broker, brokerToken } = await begin(t, { switches: { tokenLifetime: 300 } })
    await exchange(broker, brokerToken, { min_ttl: 200 })
    t.equal(broker.standIn.calls.refresh, 0)
    broker.clock.advance(150_000)
    await exchange(broker, brokerToken, { min_ttl: 200 })
    t.equal(broker.standIn.calls.refresh, 1)
    for (const min_ttl of [301, 9999, 10_000]) {
      t.equal((await exchange(broker, brokerToken, { min_ttl })).status, 200)
    }
    t.equal(broker.standIn.calls.refresh, 1, 'another refresh would not bring a longer lifetime')
    broker.clock.advance(10_001)
    await exchange(broker, brokerToken, { min_ttl: 9999 })
    t.equal(broker.standIn.calls.refresh, 2)
    broker.clock.advance(250_000)
    await exchange(broker, brokerToken, { min_ttl: 0 })
    t.equal(broker.standIn.calls.refresh, 3, 'the broker’s own minimum of 60 s')
  },
)

t.test('force returns a token fetched after the request, once in ten seconds', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const before = await exchange(broker, brokerToken)
  const forced = await exchange(broker, brokerToken, { force: true })
  t.equal(forced.status, 200)
  t.not(forced.body.access_token, before.body.access_token)
  const again = await exchange(broker, brokerToken, { force: true })
  t.match(again, { status: 429, body: { error: 'slow_down', retry_after: Number } })
  t.ok(Number(again.headers.get('retry-after')) <= 10)
  t.equal((await exchange(broker, brokerToken)).body.access_token, forced.body.access_token)
  broker.clock.advance(10_001)
  t.equal((await swapAtToken(broker, brokerToken, { force: 'true' })).status, 200)
})

t.test('a forced swap does not join a refresh that began before it', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const { standIn, clock } = broker
  const delay = 9000
  standIn.switches.tokenDelay = delay
  clock.advance(3_590_000)
  // Both begin in the same millisecond; the unforced one is first.
  clock.stop()
  const unforced = exchange(broker, brokerToken)
  await clock.asleep(delay)
  let isWaiting = () => undefined as void
  const waiting = new Promise<void>((resolve) => (isWaiting = resolve))
  const { refresher } = broker.services
  const { get } = refresher
  refresher.get = (...parameters) => {
    isWaiting()
    return get(...parameters)
  }
  const forced = exchange(broker, brokerToken, { force: true })
  await waiting
  standIn.switches.tokenDelay = 0
  clock.advance(delay)
  const tokens = (await Promise.all([unforced, forced])).map(({ body }) => body.access_token)
  t.not(tokens[0], tokens[1])
  t.equal(broker.standIn.calls.refresh, 2)
})

const SWAPS = size(200, 1000)

t.test(`${SWAPS} simultaneous swaps of an expired token make one call upstream`, async (t) => {
  const { broker, brokerToken } = await begin(t, {
    switches: { tokenDelay: 50, rotation: 'always' },
  })
  broker.clock.advance(3_590_000)
  const answers = await Promise.all(
    Array.from({ length: SWAPS }, () => exchange(broker, brokerToken)),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1)
  t.equal(broker.standIn.calls.refresh, 1)
})
