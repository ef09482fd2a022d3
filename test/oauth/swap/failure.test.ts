import t from 'tap'
import { exchange } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { begin } from './begin.ts'

/** Retries pause, which takes no time here. */
const swap = (broker: TestBroker, token: string) => broker.clock.hurry(exchange(broker, token))

t.test('upstream away: 503 with Retry-After, and the cached token while it lives', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t)
  broker.clock.advance(3_560_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  t.equal((await swap(broker, brokerToken)).status, 200, 'it has 40 s left')
  broker.clock.advance(60_000)
  const away = await swap(broker, brokerToken)
  t.match(away, { status: 503, body: { error: 'temporarily_unavailable', retry_after: Number } })
  t.ok(Number(away.headers.get('retry-after')) > 0)
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.status, 'active', 'an outage marks nobody')

  broker.standIn.clearFaults()
  broker.clock.advance(2500)
  t.equal((await exchange(broker, brokerToken)).status, 200, 'soon after its end')
})

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

t.test('a refused connection recovers by itself when Ellipsis Drive takes it again', async (t) => {
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
})

t.test('one passing refusal of a healthy token is not believed', async (t) => {
  const { broker, brokerToken } = await begin(t, { switches: { rotation: 'always' } })
  broker.clock.advance(3_590_000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1 })
  t.equal((await swap(broker, brokerToken)).status, 200)
})
