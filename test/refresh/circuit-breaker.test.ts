import t from 'tap'
import { createCircuitBreaker } from '../../server/refresh/circuit-breaker.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'
import { virtualClock } from '../virtual-clock.ts'

const error = (status: number, retryAfterMs: number | null = null) =>
  new EllipsisError('down', { kind: 'transient', status, maybeApplied: false, retryAfterMs })
const fail = () => Promise.reject(error(503))

let count = 0
/** A caller of another connection each time. */
const nextCaller = () => ({ connectionId: `con_${count++}`, failing: false })
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A breaker with a virtual clock. */
function begin() {
  const { clock, advance } = virtualClock()
  return { breaker: createCircuitBreaker(clock), advance }
}

async function openBreaker({ breaker }: ReturnType<typeof begin>): Promise<void> {
  for (let count = 0; count < 5; count++)
    await breaker.run(nextCaller(), fail).catch(() => undefined)
}

t.test('opens after five failures in a row; allows one trial call per second', async (t) => {
  const { breaker, advance } = begin()
  const refused = new EllipsisError('no', { kind: 'refused', status: 400, maybeApplied: false })
  const refuse = () => Promise.reject(refused)
  for (let count = 0; count < 9; count++)
    await t.rejects(breaker.run(nextCaller(), refuse), 'a refusal is no outage')
  for (let count = 0; count < 5; count++) {
    t.equal(breaker.state(), 'closed')
    await t.rejects(breaker.run(nextCaller(), fail), { message: 'down' })
  }
  t.equal(breaker.state(), 'open')
  t.equal(breaker.allows(nextCaller()), false)
  const told = { code: 'temporarily_unavailable', details: { retryAfter: 2 } }
  await t.rejects(breaker.run(nextCaller(), fail), told)

  await advance(1000)
  t.equal(breaker.allows(nextCaller()), true)
  const hung = breaker.run(nextCaller(), () => new Promise<string>(() => undefined))
  t.equal(breaker.allows(nextCaller()), false, 'one trial at a time')
  await advance(1000)
  t.equal(breaker.allows(nextCaller()), true, 'also while the last trial has no answer')
  t.equal(await breaker.run(nextCaller(), async () => 'up'), 'up')
  t.equal(breaker.state(), 'half-open')
  await advance(4000)
  t.equal(breaker.state(), 'closed')
  void hung
})

t.test('ignores an error from before the upstream call', async (t) => {
  const parts = begin()
  await openBreaker(parts)
  await parts.advance(1000)
  const failBeforeCall = () => {
    throw new Error('the lease is lost')
  }
  await t.rejects(parts.breaker.run(nextCaller(), failBeforeCall), { message: 'the lease is lost' })
  t.equal(parts.breaker.state(), 'open')
})

t.test('stays open after a failed trial, and honours Retry-After', async (t) => {
  const parts = begin()
  const { breaker, advance } = parts
  await openBreaker(parts)
  await advance(1000)
  await t.rejects(breaker.run(nextCaller(), () => Promise.reject(error(429, 30_000))))
  await advance(29_000)
  t.equal(breaker.allows(nextCaller()), false)
  await advance(1000)
  await t.rejects(breaker.run(nextCaller(), () => Promise.reject(error(503, 3_600_000))))
  await advance(60_000)
  t.equal(breaker.allows(nextCaller()), true, 'a minute at most')
})

t.test('stays open on an answer to a call that began before the outage', async (t) => {
  const parts = begin()
  const { breaker, advance } = parts
  let answer: (text: string) => void = () => undefined
  const early = breaker.run(
    nextCaller(),
    () => new Promise<string>((resolve) => (answer = resolve)),
  )
  await advance(1)
  await openBreaker(parts)
  answer('late')
  t.equal(await early, 'late')
  t.equal(breaker.state(), 'open')
})

t.test('counts hanging calls as failures, and frees their slots', async (t) => {
  const { breaker, advance } = begin()
  const hang = () => new Promise<never>(() => undefined)
  for (let count = 0; count < 100; count++) void breaker.run(nextCaller(), hang)
  let ran = false
  const queued = t.rejects(
    breaker.run(nextCaller(), async () => (ran = true)),
    { code: 'temporarily_unavailable' },
    'a hundred calls at once',
  )
  await advance(9999)
  t.equal(breaker.state(), 'closed')
  await advance(2)
  t.equal(breaker.state(), 'open')
  await queued
  t.equal(ran, false)
  await advance(1000)
  t.equal(await breaker.run(nextCaller(), async () => 'up'), 'up')
})

t.test(
  'gives a free slot to the next in the queue, which checks its conditions again',
  async (t) => {
    const { breaker, advance } = begin()
    const answers: (() => void)[] = []
    const call = () => new Promise<void>((resolve) => answers.push(resolve))
    for (let count = 0; count < 100; count++) void breaker.run(nextCaller(), call)
    let checks = 0
    const ready = async () => void checks++
    const queued = breaker.run(nextCaller(), call, ready)
    const other = t.rejects(
      breaker.run(nextCaller(), call, () => Promise.reject(new Error('the lease is lost'))),
      { message: 'the lease is lost' },
    )
    await advance(1500)
    t.equal(answers.length, 100)
    answers[0]?.()
    answers[1]?.()
    await turn()
    t.equal(answers.length, 101)
    answers[100]?.()
    await Promise.all([queued, other])
    t.equal(checks, 1)
  },
)

t.test(
  'limits the first second after an outage to the former rate, and runs all calls within four',
  async (t) => {
    const parts = begin()
    const { breaker, advance } = parts
    let calls = 0
    const call = async () => void calls++
    for (let second = 0; second < 20; second++) {
      for (let count = 0; count < 10; count++) {
        await breaker.run(nextCaller(), call)
        await advance(100)
      }
    }
    await openBreaker(parts)
    await advance(60_000)
    const waiting: Promise<void>[] = []
    calls = 0
    await breaker.run(nextCaller(), call)
    for (let count = 0; count < 600; count++) waiting.push(breaker.run(nextCaller(), call))
    const perSecond: number[] = []
    for (let second = 0; second < 4; second++) {
      const before = calls
      await advance(1000)
      perSecond.push(calls - before)
    }
    await Promise.all(waiting)
    t.ok((perSecond[0] ?? 99) <= 20, perSecond.join(' '))
    t.ok((perSecond[1] ?? 0) > 20, 'more in the second')
    t.equal(breaker.state(), 'closed')
  },
)

t.test(
  'opens late for one failing connection, and gives trials to other connections first',
  async (t) => {
    const { breaker, advance } = begin()
    const failingCaller = { connectionId: 'con_failing', failing: true }
    for (let count = 0; count < 9; count++) await t.rejects(breaker.run(failingCaller, fail))
    t.equal(breaker.state(), 'closed')
    await t.rejects(breaker.run(failingCaller, fail))
    t.equal(breaker.state(), 'open')
    await advance(1000)
    t.equal(breaker.allows(failingCaller), false, 'others first')
    t.equal(breaker.allows(nextCaller()), true)
    await advance(1500)
    t.equal(breaker.allows(failingCaller), true)
  },
)

t.test('opens at once for all connections on status 429 with Retry-After', async (t) => {
  const { breaker, advance } = begin()
  await t.rejects(breaker.run(nextCaller(), () => Promise.reject(error(429))))
  t.equal(breaker.state(), 'closed', 'without Retry-After it is an ordinary failure')
  await t.rejects(breaker.run(nextCaller(), () => Promise.reject(error(429, 15_000))))
  await advance(14_000)
  t.equal(breaker.allows(nextCaller()), false)
  await advance(1000)
  t.equal(breaker.allows(nextCaller()), true)
})
