import { Agent, request } from 'node:http'
import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker, connect, exchange, freePort } from '../helper.ts'
import { serve } from '../processes.ts'
import { size } from '../size.ts'
import { nginxMissing, startNginx } from './nginx.ts'

/** `ROUNDS=10 RATE=1000` is the whole promise; a busy machine shows the same with less. */
const ROUNDS = Number(process.env.ROUNDS ?? size(1, 4))
/** Swaps a second. */
const RATE = Number(process.env.RATE ?? size(50, 200))

/** Sends swaps at an even rate, whatever becomes of the ones before. Answers how each ended. */
function load(url: string, token: string) {
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity })
  const ends = new Map<string, number>()
  const pending = new Set<Promise<void>>()
  const swap = () =>
    new Promise<void>((resolve) => {
      const end = (how: string) => {
        ends.set(how, (ends.get(how) ?? 0) + 1)
        resolve()
      }
      const headers = { authorization: `Bearer ${token}` }
      const sent = request(`${url}/exchange`, { agent, method: 'POST', headers }, (answer) => {
        let body = ''
        answer.on('data', (text) => (body += text))
        answer.on('end', () =>
          end(
            body.includes('"access_token"')
              ? `${answer.statusCode}`
              : `${answer.statusCode} ${body}`,
          ),
        )
        answer.on('error', (error) => end(error.message))
      })
      sent.on('error', (error) => end(error.message))
      sent.end()
    })
  const startedAt = performance.now()
  let count = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * RATE
    for (; count < due; count++) {
      const one = swap().finally(() => pending.delete(one))
      pending.add(one)
    }
  }, 5)
  return {
    async stop() {
      clearInterval(timer)
      await Promise.all(pending)
      return { ends, rate: count / ((performance.now() - startedAt) / 1000) }
    },
  }
}

async function begin(t: Test) {
  const port = await freePort()
  // The public address is nginx's; the first broker, which walks the connect, sits at another.
  const first = await buildBroker(t, { env: { BROKER_TRUST_PROXY: '127.0.0.1' } })
  const { brokerToken } = await connect(first, await addApp(first))
  return { port, first, brokerToken }
}

t.test(
  'through the example’s nginx: one id in both logs, the visitor’s own address',
  { skip: nginxMissing },
  async (t) => {
    const { port, first } = await begin(t)
    const { url } = await startNginx(t, Number(new URL(first.url).port), port)
    const sent = { 'x-request-id': 'a'.repeat(32), 'x-forwarded-for': '203.0.113.9' }
    const answer = await fetch(`${url}/`, { headers: { ...sent, accept: 'text/html' } })
    t.equal(answer.status, 200)
    const line = first.logged.map((text) => JSON.parse(text) as Record<string, string>).at(-1)
    t.match(line, { path: '/', address: '127.0.0.1', request: /^[0-9a-f]{32}$/ })
    t.not(line?.request, 'a'.repeat(32))
    t.equal((await fetch(`${url}/metrics`)).status, 404, 'figures are not for everyone')
  },
)

t.test('new one up, old one down: no broken answer', { skip: nginxMissing }, async (t) => {
  const { port, first, brokerToken } = await begin(t)
  t.equal((await exchange(first, brokerToken)).status, 200)
  let current = await serve(t, first.env)
  const proxy = await startNginx(t, Number(new URL(current.url).port), port)
  const swaps = load(proxy.url, brokerToken)
  for (let round = 0; round < ROUNDS; round++) {
    const next = await serve(t, first.env)
    await proxy.switchTo(Number(new URL(next.url).port))
    t.equal(await current.stop(), 0)
    current = next
  }
  const { ends, rate } = await swaps.stop()
  t.comment(
    `${[...ends.values()].reduce((one, other) => one + other, 0)} swaps at ${rate.toFixed(0)} a second`,
  )
  t.strictSame(Object.fromEntries(ends), {
    200: [...ends.values()].reduce((one, other) => one + other, 0),
  })
})
