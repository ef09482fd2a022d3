import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { connectMany } from '../operate/load.ts'
import type { Device } from '../operate/load.ts'
import { size } from '../size.ts'

/** Times in milliseconds. */
const SECOND = 1000
const STEADY = 6 * SECOND
const OUTAGE = size(6, 60) * SECOND
/** By when everyone is served again. */
const RECOVERY = 5 * SECOND
/** Of a refresh that was under way when upstream was well again, and of a busy machine. */
const SLACK = SECOND
/** Life of an access token, for those whose token ends in the outage. */
const SHORT = 4

interface Answer {
  at: number
  status: number
  retryAfter: string | null
}

/** An app that swaps some five times a second, until told to stop. */
async function swapOn(url: string, { token }: Device, signal: AbortSignal): Promise<Answer[]> {
  const answers: Answer[] = []
  while (!signal.aborted) {
    const headers = { authorization: `Bearer ${token}` }
    const { status, headers: told, ...rest } = await post(`${url}/exchange`, headers)
    answers.push({ ...rest, status, retryAfter: told.get('retry-after') })
    await sleep(150 + 100 * Math.random())
  }
  return answers
}

async function post(url: string, headers: Record<string, string>) {
  const at = Date.now()
  const response = await fetch(url, { method: 'POST', headers })
  await response.arrayBuffer()
  return { at, status: response.status, headers: response.headers }
}

/** Upstream answers 503, or cuts the connection. */
function breakDown({ standIn }: TestBroker): void {
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, share: 0.5 })
  standIn.addFault({ endpoint: 'refresh', kind: 'cut-before', times: 1_000_000 })
}

t.test('an outage of Ellipsis Drive is met with a trickle, and its end with no rush', async (t) => {
  /** When upstream was called, and when it answered well. */
  const [calls, successes] = [[] as number[], [] as number[]]
  const watched: typeof fetch = async (...args) => {
    calls.push(Date.now())
    const response = await fetch(...args)
    if (response.ok) successes.push(Date.now())
    return response
  }
  const broker = await buildBroker(t, {
    switches: { rotation: 'always' },
    world: { fetch: watched },
    env: { BROKER_MIN_TTL: '0' },
  })
  const devices = await connectMany(broker, 80)
  const [lasting, ending] = [devices.slice(0, 20), devices.slice(20)]
  const stop = new AbortController()
  const swapAll = (some: Device[], within: number) =>
    some.map(async (device, index) => {
      // Each in its turn, so that refreshes come evenly from the start.
      await sleep((index * within) / some.length)
      return swapOn(broker.url, device, stop.signal)
    })
  const served = swapAll(lasting, SECOND)
  await sleep(2 * SECOND)
  broker.standIn.switches.tokenLifetime = SHORT
  const held = swapAll(ending, SHORT * SECOND)
  await sleep(SHORT * SECOND)

  const steadyFrom = Date.now()
  await sleep(STEADY)
  const outageFrom = Date.now()
  breakDown(broker)
  await sleep(OUTAGE)
  broker.standIn.clearFaults()
  const outageTo = Date.now()
  await sleep(RECOVERY + SLACK + 2 * SECOND)
  stop.abort()
  const lasted = (await Promise.all(served)).flat()
  const ended = (await Promise.all(held)).flat()

  const count = (times: number[], from: number, to: number) =>
    times.filter((at) => at >= from && at < to).length
  const steady = (count(calls, steadyFrom, outageFrom) / (outageFrom - steadyFrom)) * SECOND
  t.ok(steady > 5, `${steady.toFixed(1)} calls a second before`)

  const during = count(calls, outageFrom, outageTo)
  t.ok(during >= 3, 'it is tried whether the outage is over')
  t.ok(during <= 20 + (outageTo - outageFrom) / SECOND, `${during} calls during the outage`)

  t.same(new Set(lasted.map(({ status }) => status)), new Set([200]), 'living tokens are served')
  const refused = ended.filter(({ status }) => status !== 200)
  t.ok(refused.length > 100)
  t.same(new Set(refused.map(({ status }) => status)), new Set([503]))
  t.ok(refused.every(({ retryAfter }) => Number(retryAfter) >= 1))

  const goodAt = successes.find((at) => at >= outageTo) ?? Infinity
  t.ok(goodAt < outageTo + 2 * SECOND + SLACK, 'its end is noticed')
  const first = count(calls, goodAt, goodAt + SECOND)
  t.ok(first <= 2 * steady, `${first} calls in the first second after, ${steady.toFixed(1)} before`)
  const late = refused.filter(({ at }) => at > outageTo + RECOVERY + SLACK)
  t.equal(late.length, 0, 'everyone is served again')
  // A machine that is busy otherwise may let a call or two of that many fail by itself.
  const early = refused.filter(({ at }) => at < outageFrom - SLACK).length
  t.ok(early <= 2, `${early} were refused before`)

  const connections = await Array.fromAsync(broker.services.connections.all())
  t.same(new Set(connections.map(({ status }) => status)), new Set(['active']), 'none is marked')
  t.comment(`${during} calls in the outage, ${first} in the first second, ${steady} steady`)
})
