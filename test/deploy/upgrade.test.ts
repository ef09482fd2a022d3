import { Agent, request } from 'node:http'
import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker, connect, exchange, freePort } from '../helper.ts'
import { serve } from '../processes.ts'
import { size } from '../size.ts'
import { nginxMissing, startNginx } from './nginx.ts'

/** `ROUNDS=10 RATE=1000` tests the full promise. The default is for busy machines. */
const ROUNDS = Number(process.env.ROUNDS ?? size(1, 4))
const SWAPS_PER_SECOND = Number(process.env.RATE ?? size(50, 200))

/** Sends swaps at a constant rate, without waiting for earlier ones. `stop` returns the number of each outcome. */
function startLoad(url: string, token: string) {
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity })
  const outcomes = new Map<string, number>()
  const pending = new Set<Promise<void>>()
  const swap = () =>
    new Promise<void>((resolve) => {
      const finish = (outcome: string) => {
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        resolve()
      }
      const headers = { authorization: `Bearer ${token}` }
      const sent = request(`${url}/exchange`, { agent, method: 'POST', headers }, (answer) => {
        let body = ''
        answer.on('data', (text) => (body += text))
        answer.on('end', () =>
          finish(
            body.includes('"access_token"')
              ? `${answer.statusCode}`
              : `${answer.statusCode} ${body}`,
          ),
        )
        answer.on('error', (error) => finish(error.message))
      })
      sent.on('error', (error) => finish(error.message))
      sent.end()
    })
  const startedAt = performance.now()
  let count = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * SWAPS_PER_SECOND
    for (; count < due; count++) {
      const one = swap().finally(() => pending.delete(one))
      pending.add(one)
    }
  }, 5)
  return {
    async stop() {
      clearInterval(timer)
      await Promise.all(pending)
      return { outcomes, rate: count / ((performance.now() - startedAt) / 1000) }
    },
  }
}

async function setUp(t: Test) {
  const port = await freePort()
  // The first broker connects the user. It listens on another port than nginx.
  const first = await buildBroker(t, { env: { BROKER_TRUST_PROXY: '127.0.0.1' } })
  const { brokerToken } = await connect(first, await addApp(first))
  return { port, first, brokerToken }
}

t.test(
  'the example nginx passes its request id and the visitor’s address',
  { skip: nginxMissing },
  async (t) => {
    const { port, first } = await setUp(t)
    const { url } = await startNginx(t, Number(new URL(first.url).port), port)
    const sent = { 'x-request-id': 'a'.repeat(32), 'x-forwarded-for': '203.0.113.9' }
    const answer = await fetch(`${url}/`, { headers: { ...sent, accept: 'text/html' } })
    t.equal(answer.status, 200)
    const line = first.logged.map((text) => JSON.parse(text) as Record<string, string>).at(-1)
    t.match(line, { path: '/', address: '127.0.0.1', request: /^[0-9a-f]{32}$/ })
    t.not(line?.request, 'a'.repeat(32))
    t.equal((await fetch(`${url}/metrics`)).status, 401, 'metrics are not public')
  },
)

t.test('an upgrade through nginx breaks no response', { skip: nginxMissing }, async (t) => {
  const { port, first, brokerToken } = await setUp(t)
  t.equal((await exchange(first, brokerToken)).status, 200)
  let current = await serve(t, first.env)
  const proxy = await startNginx(t, Number(new URL(current.url).port), port)
  const load = startLoad(proxy.url, brokerToken)
  for (let round = 0; round < ROUNDS; round++) {
    const next = await serve(t, first.env)
    await proxy.switchTo(Number(new URL(next.url).port))
    t.equal(await current.stop(), 0)
    current = next
  }
  const { outcomes, rate } = await load.stop()
  t.comment(
    `${[...outcomes.values()].reduce((one, other) => one + other, 0)} swaps at ${rate.toFixed(0)} a second`,
  )
  t.strictSame(Object.fromEntries(outcomes), {
    200: [...outcomes.values()].reduce((one, other) => one + other, 0),
  })
})
