/**
 * `npm run bench`: the figures of docs/scale.md. Each figure is a ratio of two measurements that alternate in
 * one run, because machines are shared and noisy.
 */
import { availableParallelism, cpus } from 'node:os'
import { ageTokens } from '../test/aged-tokens.ts'
import { connect, freePort } from '../test/helper.ts'
import { prepareAppApi } from './app-api.ts'
import { measureBinary } from './binary.ts'
import { buildRequest, median, sendLoad } from './load.ts'
import { startBench, startProcess, waitUntilReachable } from './setup.ts'

const ROUNDS = 5
const REFRESH_WARM_UP_ROUNDS = 40
const REFRESH_ROUNDS = 100

await using cleanup = new AsyncDisposableStack()
const print = (line: string) => void process.stdout.write(`${line}\n`)
print(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? ''}\n`)

const broker = await startBench(cleanup)
// All servers get the same request and respond with the same JSON.
const headers = { authorization: `Bearer ${broker.brokerToken}` }
const exchangeRequest = buildRequest(`${broker.url}/exchange`, 'POST', headers)
const response = await fetch(`${broker.url}/exchange`, { method: 'POST', headers })
const answer = await response.text()
const form = new URLSearchParams({
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token: broker.brokerToken,
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  client_id: broker.app.id,
}).toString()
const tokenRequest = buildRequest(
  `${broker.url}/oauth/token`,
  'POST',
  { 'content-type': 'application/x-www-form-urlencoded' },
  form,
)

async function startBaseline(kind: 'bare' | 'with-plugins') {
  const port = await freePort()
  startProcess(cleanup, ['bench/baseline.ts', kind, String(port)], { ANSWER: answer })
  const url = `http://127.0.0.1:${port}/exchange`
  await waitUntilReachable(url)
  return { url, bytes: buildRequest(url, 'POST', headers) }
}

/** Measures the servers in turns. Returns the responses per second of each round, by name. */
async function measureRates(targets: Record<string, { url: string; bytes: Buffer }>) {
  const rates: Record<string, number[]> = {}
  for (const { url, bytes } of Object.values(targets)) await sendLoad(url, bytes, { seconds: 1 })
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, { url, bytes }] of Object.entries(targets)) {
      rates[name] ??= []
      rates[name].push(await sendLoad(url, bytes))
    }
  }
  return rates
}

const rates = await measureRates({
  bare: await startBaseline('bare'),
  'with plugins': await startBaseline('with-plugins'),
  '/exchange': { url: broker.url, bytes: exchangeRequest },
  '/oauth/token': { url: broker.url, bytes: tokenRequest },
  'app API': await prepareAppApi(broker),
})
/** The median of the rounds' ratios. */
const ratio = (name: string, baseline: string): string => {
  const ratios = (rates[name] ?? []).map((rate, round) => rate / (rates[baseline]?.[round] ?? NaN))
  return median(ratios).toFixed(2)
}
for (const [name, values] of Object.entries(rates)) {
  print(`${name.padEnd(12)} ${Math.round(median(values))} responses per second`)
}
print(`
/exchange, cached token, relative to:
  a bare Fastify route                           ${ratio('/exchange', 'bare')}   target 0.62
  a route with headers, CORS and metrics         ${ratio('/exchange', 'with plugins')}   target 0.60
/oauth/token, cached token, relative to:
  a bare Fastify route                           ${ratio('/oauth/token', 'bare')}   target 0.48
cost of an exchange through the app API, relative to:
  /exchange                                      ${ratio('/exchange', 'app API')}   target 1.2
`)

// A swap with a refresh, compared with the same call made directly to an upstream that takes 50 ms.
Object.assign(broker.standIn.standIn.switches, { tokenDelay: 50, tokenLifetime: 60 })
// Otherwise a swap would use the token that the previous swap refreshed.
ageTokens(broker.env.BROKER_DATA_DIR)
const shortLived = await connect({ url: broker.url } as Parameters<typeof connect>[0], broker.app)
const { id, secret } = broker.standIn.standIn.clients[0] ?? { id: '', secret: '' }
const refreshToken = broker.standIn.standIn.grant('amelie')
const callUpstream = () =>
  fetch(`${broker.standIn.apiUrl}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: id,
      client_secret: secret,
    }),
  })
const swap = () =>
  fetch(`${broker.url}/exchange`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${shortLived.brokerToken}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ min_ttl: 9999 }),
  })
const measureMs = async (call: () => Promise<Response>): Promise<number> => {
  const startedAt = performance.now()
  const response = await call()
  await response.text()
  if (response.status !== 200) throw new Error(`status ${response.status}`)
  return performance.now() - startedAt
}
for (let round = 0; round < REFRESH_WARM_UP_ROUNDS; round++) {
  await Promise.all([measureMs(callUpstream), measureMs(swap)])
}
const [swapsMs, callsMs]: [number[], number[]] = [[], []]
const refreshesBefore = broker.standIn.standIn.calls.refresh
for (let round = 0; round < REFRESH_ROUNDS; round++) {
  callsMs.push(await measureMs(callUpstream))
  swapsMs.push(await measureMs(swap))
}
const refreshes = broker.standIn.standIn.calls.refresh - refreshesBefore
if (refreshes !== 2 * REFRESH_ROUNDS) {
  throw new Error(`${refreshes} refreshes instead of ${2 * REFRESH_ROUNDS}`)
}
print(`swap with a refresh ${median(swapsMs).toFixed(1)} ms, upstream call alone ${median(callsMs).toFixed(1)} ms
median time added ${(median(swapsMs) - median(callsMs)).toFixed(1)} ms   target 5 ms
`)

await measureBinary(print)
