import t from 'tap'
import { exchange } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { begin } from './begin.ts'

/** Swaps without waiting for the pauses between retries. */
const swap = (broker: TestBroker, token: string) => broker.clock.hurry(exchange(broker, token))

t.test(
  'upstream unavailable: 503 with Retry-After, or the cached token until it expires',
  async (t) => {
    const { broker, brokerToken, connectionId } = await begin(t)
    broker.clock.advance(3_560_000)
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
    t.equal((await swap(broker, brokerToken)).status, 200, 'it is valid for another 40 s')
    broker.clock.advance(60_000)
    const failed = await swap(broker, brokerToken)
    t.match(failed, {
      status: 503,
      body: { error: 'temporarily_unavailable', retry_after: Number },
    })
    t.ok(Number(failed.headers.get('retry-after')) > 0)
    const { connection } = await broker.services.connections.show(connectionId)
    t.equal(connection.status, 'active', 'an outage marks no connection')

    broker.standIn.clearFaults()
    broker.clock.advance(2500)
    t.equal((await exchange(broker, brokerToken)).status, 200, 'soon after the end of the outage')
  },
)

t.test('the broker’s own client refused: server_error, and no connection is marked', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t)
  broker.clock.advance(3_590_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_client', times: 1 })
  t.match(await exchange(broker, brokerToken), { status: 500, body: { error: 'server_error' } })
  t.equal((await broker.services.connections.show(connectionId)).connection.status, 'active')
  t.ok(broker.logged.some((line) => line.includes('ELLIPSIS_CLIENT_SECRET')))
  broker.clock.advance(10_000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test(
  'a refused connection recovers by itself when Ellipsis Drive accepts it again',
  async (t) => {
    const { broker, brokerToken, connectionId } = await begin(t)
    broker.clock.advance(3_590_000)
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
    t.equal((await swap(broker, brokerToken)).status, 403)
    const marked = await broker.services.connections.show(connectionId)
    t.equal(marked.connection.status, 'needs_reconnect')
    t.equal((await exchange(broker, brokerToken)).status, 403, 'retried rarely')
    broker.clock.advance(60_000)
    t.equal((await exchange(broker, brokerToken)).status, 200)
    const { connection, events } = await broker.services.connections.show(connectionId)
    t.equal(connection.status, 'active')
    const actions = events.map(({ action }) => action)
    t.ok(actions.includes('connection.needs_reconnect'))
    t.ok(actions.includes('connection.recovered'))
  },
)

t.test('a single refusal of a valid token is not believed', async (t) => {
  const { broker, brokerToken } = await begin(t, { switches: { rotation: 'always' } })
  broker.clock.advance(3_590_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1 })
  t.equal((await swap(broker, brokerToken)).status, 200)
})
