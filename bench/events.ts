/**
 * `node bench/events.ts`: exchanges of a broker with 1,000 dead webhooks, relative to one without any. Half of the
 * endpoints refuse connections, the others never answer. Both brokers get the same events.
 */
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { loadConfig } from '../server/config/config.ts'
import { createLog } from '../server/log.ts'
import { startServices } from '../server/services.ts'
import { buildRequest, median, sendLoad } from './load.ts'
import { startBench } from './setup.ts'

const WEBHOOKS = Number(process.env.BENCH_WEBHOOKS ?? 1000)
const ROUNDS = 9
/** To all webhooks: far more than an installation has. */
const EVENT_INTERVAL_MS = 2000

await using cleanup = new AsyncDisposableStack()

/** An endpoint that takes connections and never answers. */
const silent = createServer((socket) => void socket.on('error', () => undefined).resume())
await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
cleanup.defer(() => void silent.close())
const { port } = silent.address() as AddressInfo

async function start(webhooks: number) {
  const broker = await startBench(cleanup)
  const config = loadConfig(broker.env)
  const log = createLog(config, { write: () => true })
  const services = await startServices(config, log, { command: 'bench' })
  cleanup.defer(() => services.stop())
  for (let count = 0; count < webhooks; count++) {
    const url = `http://127.0.0.1:${count % 2 === 0 ? port : 1}/${count}`
    await services.webhooks.add({ url, appId: null, types: [], signing: 'v1a' }, 'cli')
  }
  const timer = setInterval(() => {
    const event = { at: Date.now(), actor: 'system', action: 'upstream.down' }
    void services.store.addEvents([event])
  }, EVENT_INTERVAL_MS)
  cleanup.defer(() => clearInterval(timer))
  const headers = { authorization: `Bearer ${broker.brokerToken}` }
  const exchange = `${broker.url}/exchange`
  return { services, url: exchange, bytes: buildRequest(exchange, 'POST', headers) }
}

const brokers = [await start(0), await start(WEBHOOKS)] as const
const ratios: number[] = []
for (const { url, bytes } of brokers) await sendLoad(url, bytes, { seconds: 1 })
for (let round = 0; round < ROUNDS; round++) {
  // In turns which one is first.
  const order = round % 2 === 0 ? [0, 1] : [1, 0]
  const rates = [0, 0]
  for (const index of order) {
    const broker = brokers[index as 0 | 1]
    rates[index] = await sendLoad(broker.url, broker.bytes, { seconds: 3 })
  }
  ratios.push((rates[1] ?? 0) / (rates[0] ?? 1))
}
const counts = [...(await brokers[1].services.store.countDeliveries()).values()]
const pending = counts.reduce((sum, count) => sum + count.pending, 0)
process.stdout.write(`${WEBHOOKS} dead webhooks, ${pending} events pending
exchanges relative to a broker without webhooks: ${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(' ')})   target 0.95
`)
