import { randomInt } from 'node:crypto'
import t from 'tap'
import { createSeededRandom } from '../chaos/random.ts'
import { virtualClock } from '../virtual-clock.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { connectMany } from '../operate/load.ts'
import type { Device } from '../operate/load.ts'
import { size } from '../size.ts'

/** Times in milliseconds, by a clock that stands still during work. */
const SECOND = 1000
const STEADY = 6 * SECOND
const OUTAGE = size(6, 60) * SECOND
/** Time until all swaps succeed again. */
const RECOVERY = 5 * SECOND
/** Average time between two swaps of an app. */
const SWAP_INTERVAL = size(400, 200)
/** Lifetime of the access tokens that expire during the outage, seconds. */
const SHORT_LIFETIME = 4
const [LASTING, ENDING] = [size(5, 20), size(30, 60)]

interface Answer {
  at: number
  status: number
  retryAfter: string | null
}

/** Upstream answers 503, or closes the connection. */
function breakDown({ standIn }: TestBroker): void {
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, share: 0.5 })
  standIn.addFault({ endpoint: 'refresh', kind: 'cut-before', times: 1_000_000 })
}

t.test('few calls during an outage of Ellipsis Drive, and no rush after it', async (t) => {
  const seed = Number(process.env.TEST_SEED ?? randomInt(2 ** 31))
  const random = createSeededRandom(seed)
  /** Number of apps that swap. While none of them works, each one (or its refresh) sleeps. */
  let running = 0
  const settled = async () => {
    do await new Promise((resolve) => setImmediate(resolve))
    while (pausing() < running)
  }
  const { clock, advance, pausing } = virtualClock({ now: Date.now(), settled })
  /** Times of the upstream calls, and of the successful ones. */
  const [calls, successes] = [[] as number[], [] as number[]]
  const watched: typeof fetch = async (...args) => {
    calls.push(clock.now())
    const response = await fetch(...args)
    if (response.ok) successes.push(clock.now())
    return response
  }
  const broker = await buildBroker(t, {
    switches: { rotation: 'always' },
    runtime: { clock, fetch: watched },
    env: { BROKER_MIN_TTL: '0' },
    random: () => random.next(),
  })
  const devices = await connectMany(broker, LASTING + ENDING)
  const [lasting, ending] = [devices.slice(0, LASTING), devices.slice(LASTING)]
  const stop = new AbortController()

  const swap = async ({ token }: Device): Promise<Answer> => {
    const at = clock.now()
    const headers = { authorization: `Bearer ${token}` }
    const answer = await broker.app.inject({ method: 'POST', url: '/exchange', headers })
    return { at, status: answer.statusCode, retryAfter: String(answer.headers['retry-after']) }
  }
  /** An app that swaps until stopped. */
  const swapOn = async (device: Device, startsIn: number): Promise<Answer[]> => {
    const answers: Answer[] = []
    running++
    await clock.sleep(startsIn)
    while (!stop.signal.aborted) {
      answers.push(await swap(device))
      await clock.sleep(SWAP_INTERVAL * (0.75 + 0.5 * random.next()))
    }
    running--
    return answers
  }
  // One after the other, so that refreshes are spread evenly from the start.
  const swapAll = (some: Device[], within: number) =>
    some.map((device, index) => swapOn(device, (index * within) / some.length))
  const served = swapAll(lasting, SECOND)
  await advance(2 * SECOND)
  broker.standIn.switches.tokenLifetime = SHORT_LIFETIME
  const held = swapAll(ending, SHORT_LIFETIME * SECOND)
  await advance(SHORT_LIFETIME * SECOND)

  const steadyFrom = clock.now()
  await advance(STEADY)
  const outageFrom = clock.now()
  breakDown(broker)
  await advance(OUTAGE)
  broker.standIn.clearFaults()
  const outageTo = clock.now()
  await advance(RECOVERY + 2 * SECOND)
  stop.abort()
  await advance(2 * SWAP_INTERVAL)
  const lasted = (await Promise.all(served)).flat()
  const ended = (await Promise.all(held)).flat()

  const count = (times: number[], from: number, to: number) =>
    times.filter((at) => at >= from && at < to).length
  const steady = count(calls, steadyFrom, outageFrom) / (STEADY / SECOND)
  t.ok(steady > 5, `${steady.toFixed(1)} calls a second before`)

  const during = count(calls, outageFrom, outageTo)
  t.ok(during >= 3, 'trial calls are made')
  t.ok(during <= 20 + OUTAGE / SECOND, `${during} calls during the outage`)

  t.same(new Set(lasted.map(({ status }) => status)), new Set([200]), 'unexpired tokens are served')
  const refused = ended.filter(({ status }) => status !== 200)
  t.ok(refused.length > 100)
  t.same(new Set(refused.map(({ status }) => status)), new Set([503]))
  t.ok(refused.every(({ retryAfter }) => Number(retryAfter) >= 1))

  const goodAt = successes.find((at) => at >= outageTo) ?? Infinity
  // One trial per second; every 2.5 seconds if each caller has failed itself, as after a long outage.
  t.ok(goodAt < outageTo + 3 * SECOND, `its end is noticed after ${goodAt - outageTo} ms`)
  const first = count(calls, goodAt, goodAt + SECOND)
  t.ok(first <= 2 * steady, `${first} calls in the first second after, ${steady.toFixed(1)} before`)
  const late = refused.filter(({ at }) => at > outageTo + RECOVERY)
  t.equal(late.length, 0, 'all swaps succeed again')
  const early = refused.filter(({ at }) => at < outageFrom)
  t.equal(early.length, 0, 'no swap failed before')

  const connections = await Array.fromAsync(broker.services.connections.all())
  t.same(
    new Set(connections.map(({ status }) => status)),
    new Set(['active']),
    'no connection is marked',
  )
  t.comment(`${during} calls in the outage, ${first} in the first second, ${steady} steady`)
  if (!t.passing()) t.comment(`TEST_SEED=${seed}`)
})
