import { execFile, spawnSync } from 'node:child_process'
import t from 'tap'
import { createMetrics } from '../../../server/metrics/metrics.ts'
import { addApp, authorize, buildBroker, connect, exchange, scrape } from '../../helper.ts'

const missing = spawnSync('promtool', ['--version']).error !== undefined

t.test('counts and times swaps and pages, and reports connections and the process', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, connectionId } = await connect(broker, app)
  await exchange(broker, brokerToken)
  await exchange(broker, 'nonsense')
  await authorize(broker, app)
  await broker.services.connections.revoke(connectionId, 'test')
  await exchange(broker, brokerToken)
  const text = await scrape(broker)
  for (const line of [
    `ellipsis_broker_swaps_total{app="${app.id}",outcome="ok"} 1`,
    `ellipsis_broker_swaps_total{app="${app.id}",outcome="connection_revoked"} 1`,
    'ellipsis_broker_swaps_total{app="other",outcome="token_refused"} 1',
    'ellipsis_broker_swap_seconds_bucket{le="+Inf"} 3',
    'ellipsis_broker_swap_seconds_count 3',
    'ellipsis_broker_page_seconds_count{route="/callback",status="3xx"} 2',
    'ellipsis_broker_upstream_call_seconds_count{endpoint="token",outcome="ok"} 2',
    'ellipsis_broker_connections{status="revoked"} 1',
    `node="${process.version}"} 1`,
  ]) {
    t.ok(text.includes(line), line)
  }
  const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])
  t.ok(Math.abs(value('process_start_time_seconds') - performance.timeOrigin / 1000) < 10)
  t.ok(value('process_resident_memory_bytes') > 10_000_000)
  t.ok(value('nodejs_heap_used_bytes') > 1_000_000)
  t.ok(value('process_cpu_seconds_total') > 0)
  t.ok(value('nodejs_eventloop_active_seconds_total') > 0)
  t.ok(value('nodejs_eventloop_lag_p99_seconds') >= 0)

  t.test(
    'promtool accepts the metrics',
    { skip: missing && 'promtool is not installed' },
    async (t) => {
      const ended = await new Promise<string>((resolve) => {
        const child = execFile('promtool', ['check', 'metrics'], (error, stdout, stderr) =>
          resolve(`${error?.message ?? 'accepted'}${stdout}${stderr}`),
        )
        child.stdin?.end(text)
      })
      t.equal(ended, 'accepted')
    },
  )
})

t.test('an unauthenticated client_id gets no label and no row', async (t) => {
  const broker = await buildBroker(t)
  for (const id of ['app_1', 'app_2']) {
    await fetch(`${broker.url}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'refresh_token', client_id: id, refresh_token: 'x' }),
    })
  }
  const text = await scrape(broker)
  t.match(text, 'ellipsis_broker_swaps_total{app="other",outcome="token_refused"} 2')
  t.notMatch(text, 'app_1')
})

t.test('apps over the limit share a label, and buckets are cumulative', async (t) => {
  const build = { version: '1', commit: null }
  const store = { countConnections: async () => ({}) as never }
  const { registry, swaps } = createMetrics(store, build, { state: () => 'closed' })
  for (let app = 0; app < 300; app++) swaps.end(swaps.begin(), `app_${app}`, 'ok')
  swaps.end(swaps.begin() - 20, null, 'token_refused')
  swaps.end(swaps.begin() - 20_000, null, 'token_refused')
  const text = await registry.metrics()
  t.equal(text.match(/swaps_total\{app="app_/g)?.length, 200)
  t.match(text, 'swaps_total{app="other",outcome="ok"} 100')
  t.match(text, 'swap_seconds_bucket{le="0.01"} 300')
  t.match(text, 'swap_seconds_bucket{le="10"} 301')
  t.match(text, 'swap_seconds_count 302')
  t.match(text, 'commit="unknown"')
})
