/**
 * `npm run bench`: the figures of docs/scale.md. Every figure is a ratio of two measurements of
 * one run, taken in turns, as machines are shared and noisy.
 */
import { availableParallelism, cpus } from 'node:os'
import { ageTokens } from '../test/aged-tokens.ts'
import { connect, freePort } from '../test/helper.ts'
import { load, median, request } from './load.ts'
import { answering, run, startBench } from './setup.ts'
import { measureBinary } from './binary.ts'

const ROUNDS = 5

await using cleanup = new AsyncDisposableStack()
const print = (line: string) => void process.stdout.write(`${line}\n`)
print(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? ''}\n`)

const broker = await startBench(cleanup)
// Everyone gets the very same request, and answers the very same JSON.
const headers = { authorization: `Bearer ${broker.brokerToken}` }
const exchange = request(`${broker.url}/exchange`, 'POST', headers)
const answer = await (await fetch(`${broker.url}/exchange`, { method: 'POST', headers })).text()
const form = new URLSearchParams({
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token: broker.brokerToken,
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  client_id: broker.app.id,
}).toString()
const token = request(
  `${broker.url}/oauth/token`,
  'POST',
  { 'content-type': 'application/x-www-form-urlencoded' },
  form,
)

const bare: Record<string, string> = {}
for (const kind of ['naked', 'dressed']) {
  const port = await freePort()
  run(cleanup, ['bench/bare.ts', kind, String(port)], { ANSWER: answer })
  bare[kind] = `http://127.0.0.1:${port}/exchange`
  await answering(bare[kind])
}

/** Rates in turns, so that all see the same machine. */
async function compare(contestants: Record<string, { url: string; bytes: Buffer }>) {
  const rates: Record<string, number[]> = {}
  for (const { url, bytes } of Object.values(contestants)) await load(url, bytes, { seconds: 1 })
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, { url, bytes }] of Object.entries(contestants)) {
      rates[name] ??= []
      rates[name].push(await load(url, bytes))
    }
  }
  return rates
}

const rates = await compare({
  naked: { url: bare.naked ?? '', bytes: request(bare.naked ?? '', 'POST', headers) },
  dressed: { url: bare.dressed ?? '', bytes: request(bare.dressed ?? '', 'POST', headers) },
  exchange: { url: broker.url, bytes: exchange },
  token: { url: broker.url, bytes: token },
})
const ratio = (one: string, other: string): string => {
  const pairs = (rates[one] ?? []).map((rate, round) => rate / (rates[other]?.[round] ?? NaN))
  return median(pairs).toFixed(2)
}
for (const [name, values] of Object.entries(rates)) {
  print(`${name.padEnd(10)} ${Math.round(median(values))} answers a second`)
}
print(`
/exchange, cached, of a naked Fastify route           ${ratio('exchange', 'naked')}   aim 0.45
/exchange, cached, of one with headers, CORS, metrics ${ratio('exchange', 'dressed')}   aim 0.60
/oauth/token, cached, of a naked Fastify route        ${ratio('token', 'naked')}   aim 0.35
`)

// A refreshing swap against an upstream that takes 50 ms, beside the same call made directly.
Object.assign(broker.standIn.standIn.switches, { tokenDelay: 50, tokenLifetime: 60 })
// So that no swap is content with what the one before it refreshed.
ageTokens(broker.env.BROKER_DATA_DIR)
const short = await connect({ url: broker.url } as Parameters<typeof connect>[0], broker.app)
const { id, secret } = broker.standIn.standIn.clients[0] ?? { id: '', secret: '' }
const refreshToken = broker.standIn.standIn.grant('amelie')
const direct = () =>
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
      authorization: `Bearer ${short.brokerToken}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ min_ttl: 9999 }),
  })
const timed = async (call: () => Promise<Response>): Promise<number> => {
  const startedAt = performance.now()
  const answer = await call()
  await answer.text()
  if (answer.status !== 200) throw new Error(`status ${answer.status}`)
  return performance.now() - startedAt
}
for (let round = 0; round < 40; round++) await Promise.all([timed(direct), timed(swap)])
const [swaps, calls]: [number[], number[]] = [[], []]
const before = broker.standIn.standIn.calls.refresh
for (let round = 0; round < 100; round++) {
  calls.push(await timed(direct))
  swaps.push(await timed(swap))
}
const refreshes = broker.standIn.standIn.calls.refresh - before
if (refreshes !== 200) throw new Error(`${refreshes} refreshes of 200`)
print(`refreshing swap ${median(swaps).toFixed(1)} ms, the call upstream alone ${median(calls).toFixed(1)} ms:
on top at the median ${(median(swaps) - median(calls)).toFixed(1)} ms   aim 5 ms
`)

await measureBinary(print)
