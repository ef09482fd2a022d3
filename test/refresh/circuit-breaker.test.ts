import t from 'tap'
import { createCircuitBreaker } from '../../server/refresh/circuit-breaker.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'
import { virtualClock } from '../virtual-clock.ts'

const error = (status: number, retryAfterMs: number | null = null) =>
  new EllipsisError('down', { kind: 'transient', status, maybeApplied: false, retryAfterMs })
const fail = () => Promise.reject(error(503))

let count = 0
/** Each call is of another connection. */
const next = () => ({ id: `con_${count++}`, failing: false })
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A breaker, and a clock whose time goes by when told. */
function begin() {
  const { clock, advance } = virtualClock()
  return { breaker: createCircuitBreaker(clock), advance }
}

async function breakIt({ breaker }: ReturnType<typeof begin>): Promise<void> {
  for (let count = 0; count < 5; count++) await breaker.run(next(), fail).catch(() => undefined)
}

t.test('five failures in a row open it; one call a second tries', async (t) => {
  const { breaker, advance } = begin()
  const refused = new EllipsisError('no', { kind: 'refused', status: 400, maybeApplied: false })
  const refuse = () => Promise.reject(refused)
  for (let count = 0; count < 9; count++)
    await t.rejects(breaker.run(next(), refuse), 'is no outage')
  for (let count = 0; count < 5; count++) {
    t.equal(breaker.state(), 'closed')
    await t.rejects(breaker.run(next(), fail), { message: 'down' })
  }
  t.equal(breaker.state(), 'open')
  t.equal(breaker.admits(next()), false)
  const told = { code: 'temporarily_unavailable', details: { retryAfter: 2 } }
  await t.rejects(breaker.run(next(), fail), told)

  await advance(1000)
  t.equal(breaker.admits(next()), true)
  const hung = breaker.run(next(), () => new Promise<string>(() => undefined))
  t.equal(breaker.admits(next()), false, 'one at a time')
  await advance(1000)
  t.equal(breaker.admits(next()), true, 'whether it has an answer or not')
  t.equal(await breaker.run(next(), async () => 'up'), 'up')
  t.equal(breaker.state(), 'half-open')
  await advance(4000)
  t.equal(breaker.state(), 'closed')
  void hung
})

t.test('a call that was never made tells nothing', async (t) => {
  const parts = begin()
  await breakIt(parts)
  await parts.advance(1000)
  const give = () => {
    throw new Error('the lease is lost')
  }
  await t.rejects(parts.breaker.run(next(), give), { message: 'the lease is lost' })
  t.equal(parts.breaker.state(), 'open')
})

t.test('a failed trial leaves it open, for as long as upstream asks', async (t) => {
  const parts = begin()
  const { breaker, advance } = parts
  await breakIt(parts)
  await advance(1000)
  await t.rejects(breaker.run(next(), () => Promise.reject(error(429, 30_000))))
  await advance(29_000)
  t.equal(breaker.admits(next()), false)
  await advance(1000)
  await t.rejects(breaker.run(next(), () => Promise.reject(error(503, 3_600_000))))
  await advance(60_000)
  t.equal(breaker.admits(next()), true, 'a minute at most')
})

t.test('an answer to a call from before the outage doesn’t end it', async (t) => {
  const parts = begin()
  const { breaker, advance } = parts
  let answer: (text: string) => void = () => undefined
  const early = breaker.run(next(), () => new Promise<string>((resolve) => (answer = resolve)))
  await advance(1)
  await breakIt(parts)
  answer('late')
  t.equal(await early, 'late')
  t.equal(breaker.state(), 'open')
})

t.test('calls that hang are an outage too, and keep no others out', async (t) => {
  const { breaker, advance } = begin()
  const hang = () => new Promise<never>(() => undefined)
  for (let count = 0; count < 100; count++) void breaker.run(next(), hang)
  let ran = false
  const queued = t.rejects(
    breaker.run(next(), async () => (ran = true)),
    { code: 'temporarily_unavailable' },
    'a hundred at once',
  )
  await advance(9999)
  t.equal(breaker.state(), 'closed')
  await advance(2)
  t.equal(breaker.state(), 'open')
  await queued
  t.equal(ran, false)
  await advance(1000)
  t.equal(await breaker.run(next(), async () => 'up'), 'up')
})

t.test('a slot goes to the next in the queue, and one who waited looks again', async (t) => {
  const { breaker, advance } = begin()
  const answers: (() => void)[] = []
  const call = () => new Promise<void>((resolve) => answers.push(resolve))
  for (let count = 0; count < 100; count++) void breaker.run(next(), call)
  let looked = 0
  const ready = async () => void looked++
  const queued = breaker.run(next(), call, ready)
  const other = t.rejects(
    breaker.run(next(), call, () => Promise.reject(new Error('the lease is lost'))),
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
  t.equal(looked, 1)
})

t.test(
  'after an outage: no more in the first second than before, and all within four',
  async (t) => {
    const parts = begin()
    const { breaker, advance } = parts
    let calls = 0
    const call = async () => void calls++
    for (let second = 0; second < 20; second++) {
      for (let count = 0; count < 10; count++) {
        await breaker.run(next(), call)
        await advance(100)
      }
    }
    await breakIt(parts)
    await advance(60_000)
    const waiting: Promise<void>[] = []
    calls = 0
    await breaker.run(next(), call)
    for (let count = 0; count < 600; count++) waiting.push(breaker.run(next(), call))
    const perSecond: number[] = []
    for (let second = 0; second < 4; second++) {
      const before = calls
      await advance(1000)
      perSecond.push(calls - before)
    }
    await Promise.all(waiting)
    t.ok((perSecond[0] ?? 99) <= 20, perSecond.join(' '))
    t.ok((perSecond[1] ?? 0) > 20, 'more in the next')
    t.equal(breaker.state(), 'closed')
  },
)

t.test(
  'one connection that fails takes nobody else’s trials, and opens it only in the end',
  async (t) => {
    const { breaker, advance } = begin()
    const sick = { id: 'con_sick', failing: true }
    for (let count = 0; count < 9; count++) await t.rejects(breaker.run(sick, fail))
    t.equal(breaker.state(), 'closed')
    await t.rejects(breaker.run(sick, fail))
    t.equal(breaker.state(), 'open')
    await advance(1000)
    t.equal(breaker.admits(sick), false, 'others first')
    t.equal(breaker.admits(next()), true)
    await advance(1500)
    t.equal(breaker.admits(sick), true)
  },
)

t.test('a wish to be left alone is honoured at once, for all', async (t) => {
  const { breaker, advance } = begin()
  await t.rejects(breaker.run(next(), () => Promise.reject(error(429))))
  t.equal(breaker.state(), 'closed', 'without a time it is a failure as others are')
  await t.rejects(breaker.run(next(), () => Promise.reject(error(429, 15_000))))
  await advance(14_000)
  t.equal(breaker.admits(next()), false)
  await advance(1000)
  t.equal(breaker.admits(next()), true)
})
