import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'
import { createSemaphore } from '../server/semaphore.ts'

t.test('callers beyond the limit wait in order', async (t) => {
  const semaphore = createSemaphore(2)
  const order: string[] = []
  const acquire = async (name: string) => {
    const release = await semaphore.acquire()
    order.push(name)
    return release
  }
  const [first] = await Promise.all([acquire('a'), acquire('b')])
  const waiting = [acquire('c'), acquire('d')]
  first()
  first()
  const third = await waiting[0]
  await tick()
  t.strictSame(order, ['a', 'b', 'c'], 'a second release frees no other slot')
  third?.()
  await waiting[1]
  t.strictSame(order, ['a', 'b', 'c', 'd'])
})

t.test('reset frees all slots, and lets waiting callers continue without one', async (t) => {
  const semaphore = createSemaphore(1)
  const releaseBeforeReset = await semaphore.acquire()
  const waiting = semaphore.acquire()
  semaphore.reset()
  const releaseNothing = await waiting
  const release = await semaphore.acquire()
  let isNextIn = false
  const next = semaphore.acquire().then(() => (isNextIn = true))
  releaseBeforeReset()
  releaseNothing()
  await tick()
  t.equal(isNextIn, false, 'slots from before the reset do not count')
  release()
  await next
})
