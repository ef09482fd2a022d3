import { randomInt } from 'node:crypto'
import t from 'tap'
import { createSeededRandom } from '../chaos/random.ts'
import { virtualClock } from '../virtual-clock.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { connectMany } from '../operate/load.ts'
import type { Device } from '../operate/load.ts'
import { size } from '../size.ts'

/** Times in milliseconds, of a clock that stands still while anyone works. */
const SECOND = 1000
const STEADY = 6 * SECOND
const OUTAGE = size(6, 60) * SECOND
/** By when everyone is served again. */
const RECOVERY = 5 * SECOND
/** Between two swaps of an app, on average. */
const EVERY = size(400, 200)
/** Life of an access token, seconds, for those whose token ends in the outage. */
const SHORT = 4
const [LASTING, ENDING] = [size(5, 20), size(30, 60)]

interface Answer {
  at: number
  status: number
  retryAfter: string | null
}

/** Upstream answers 503, or cuts the connection. */
function breakDown({ standIn }: TestBroker): void {
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, share: 0.5 })
  standIn.addFault({ endpoint: 'refresh', kind: 'cut-before', times: 1_000_000 })
}

t.test('an outage of Ellipsis Drive is met with a trickle, and its end with no rush', async (t) => {
  const seed = Number(process.env.TEST_SEED ?? randomInt(2 ** 31))
  const dice = createSeededRandom(seed)
  /** Apps that swap. Each pauses itself, or its refresh does in the broker, or there is work to wait for. */
  let running = 0
  const settled = async () => {
    do await new Promise((resolve) => setImmediate(resolve))
    while (pausing() < running)
  }
  const { clock, advance, pausing } = virtualClock({ now: Date.now(), settled })
  /** When upstream was called, and when it answered well. */
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
    random: () => dice.next(),
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
  /** An app that swaps until told to stop. */
  const swapOn = async (device: Device, startsIn: number): Promise<Answer[]> => {
    const answers: Answer[] = []
    running++
    await clock.sleep(startsIn)
    while (!stop.signal.aborted) {
      answers.push(await swap(device))
      await clock.sleep(EVERY * (0.75 + 0.5 * dice.next()))
    }
    running--
    return answers
  }
  // Each in its turn, so that refreshes come evenly from the start.
  const swapAll = (some: Device[], within: number) =>
    some.map((device, index) => swapOn(device, (index * within) / some.length))
  const served = swapAll(lasting, SECOND)
  await advance(2 * SECOND)
  broker.standIn.switches.tokenLifetime = SHORT
  const held = swapAll(ending, SHORT * SECOND)
  await advance(SHORT * SECOND)

  const steadyFrom = clock.now()
  await advance(STEADY)
  const outageFrom = clock.now()
  breakDown(broker)
  await advance(OUTAGE)
  broker.standIn.clearFaults()
  const outageTo = clock.now()
  await advance(RECOVERY + 2 * SECOND)
  stop.abort()
  await advance(2 * EVERY)
  const lasted = (await Promise.all(served)).flat()
  const ended = (await Promise.all(held)).flat()

  const count = (times: number[], from: number, to: number) =>
    times.filter((at) => at >= from && at < to).length
  const steady = count(calls, steadyFrom, outageFrom) / (STEADY / SECOND)
  t.ok(steady > 5, `${steady.toFixed(1)} calls a second before`)

  const during = count(calls, outageFrom, outageTo)
  t.ok(during >= 3, 'it is tried whether the outage is over')
  t.ok(during <= 20 + OUTAGE / SECOND, `${during} calls during the outage`)

  t.same(new Set(lasted.map(({ status }) => status)), new Set([200]), 'living tokens are served')
  const refused = ended.filter(({ status }) => status !== 200)
  t.ok(refused.length > 100)
  t.same(new Set(refused.map(({ status }) => status)), new Set([503]))
  t.ok(refused.every(({ retryAfter }) => Number(retryAfter) >= 1))

  const goodAt = successes.find((at) => at >= outageTo) ?? Infinity
  // One trial a second; every 2.5 seconds where each caller has failed itself, as after a long outage.
  t.ok(goodAt < outageTo + 3 * SECOND, `its end is noticed after ${goodAt - outageTo} ms`)
  const first = count(calls, goodAt, goodAt + SECOND)
  t.ok(first <= 2 * steady, `${first} calls in the first second after, ${steady.toFixed(1)} before`)
  const late = refused.filter(({ at }) => at > outageTo + RECOVERY)
  t.equal(late.length, 0, 'everyone is served again')
  const early = refused.filter(({ at }) => at < outageFrom)
  t.equal(early.length, 0, 'nobody was refused before')

  const connections = await Array.fromAsync(broker.services.connections.all())
  t.same(new Set(connections.map(({ status }) => status)), new Set(['active']), 'none is marked')
  t.comment(`${during} calls in the outage, ${first} in the first second, ${steady} steady`)
  if (!t.passing()) t.comment(`TEST_SEED=${seed}`)
})
