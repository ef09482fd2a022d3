import t from 'tap'
import { exchange } from '../helper.ts'
import { begin } from '../swap/begin.ts'

t.test('health, readiness and metrics', async (t) => {
  const { broker, brokerToken } = await begin(t, { env: { BROKER_METRICS_TOKEN: 'm'.repeat(32) } })
  await exchange(broker, brokerToken)
  t.same(await (await fetch(`${broker.url}/healthz`)).json(), { status: 'ok' })
  t.match(await (await fetch(`${broker.url}/readyz`)).json(), { status: 'ready', upstream: 'ok' })
  const metrics = await fetch(`${broker.url}/metrics`)
  t.match(await metrics.text(), 'ellipsis_broker_swaps_total{outcome="ok"} 1')
  const proxied = { 'x-forwarded-for': '203.0.113.9' }
  t.equal((await fetch(`${broker.url}/metrics`, { headers: proxied })).status, 404)
  const authorization = `Bearer ${'m'.repeat(32)}`
  t.equal(
    (await fetch(`${broker.url}/metrics`, { headers: { ...proxied, authorization } })).status,
    200,
  )
  const wrong = { ...proxied, authorization: 'Bearer x' }
  t.equal((await fetch(`${broker.url}/metrics`, { headers: wrong })).status, 404)
})
