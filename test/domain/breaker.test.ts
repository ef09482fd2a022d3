import t from 'tap'
import { createBreaker } from '../../server/domain/breaker.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'

const down = new EllipsisError('down', { kind: 'transient', status: 503, maybeApplied: false })
const fail = () => Promise.reject(down)

t.test('five failures in a row open it; one call every two seconds tries', async (t) => {
  const breaker = createBreaker({ now: () => Date.now(), sleep: async () => undefined })
  const refused = new EllipsisError('no', { kind: 'refused', status: 400, maybeApplied: false })
  for (let count = 0; count < 9; count++) {
    await t.rejects(
      breaker.run(() => Promise.reject(refused)),
      'a refusal is no outage',
    )
  }
  for (let count = 0; count < 5; count++) {
    t.equal(breaker.state(), 'closed')
    await t.rejects(breaker.run(fail), { message: 'down' })
  }
  t.equal(breaker.state(), 'open')
  t.equal(breaker.admits(), false)
  await t.rejects(breaker.run(fail), {
    code: 'temporarily_unavailable',
    details: { retryAfter: 2 },
  })

  await new Promise((resolve) => setTimeout(resolve, 2050))
  t.equal(breaker.admits(), true)
  let answer: (text: string) => void = () => undefined
  const trial = breaker.run(() => new Promise<string>((resolve) => (answer = resolve)))
  t.equal(breaker.state(), 'half-open')
  t.equal(breaker.admits(), false, 'one at a time')
  answer('up')
  t.equal(await trial, 'up')
  t.equal(breaker.state(), 'closed')
})

t.test('a failed trial opens it again', async (t) => {
  let now = 0
  const breaker = createBreaker({ now: () => now, sleep: async () => undefined })
  for (let count = 0; count < 5; count++) await t.rejects(breaker.run(fail))
  t.equal(breaker.admits(), false)
  now += 2000
  t.equal(breaker.admits(), true)
})
