import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createBackgroundThrottle } from '../../server/operate/background-throttle.ts'

/** A throttle with a clock that advances only during rests and pieces; other work takes `share` of each rest. */
function buildThrottle(share: number) {
  let [now, active] = [0, 0]
  const rests: number[] = []
  const clock = {
    // The wall clock runs backwards: only the steady clock may be used.
    now: () => -now * 1000,
    steady: () => now,
    sleep: async (milliseconds: number) => {
      rests.push(Math.round(milliseconds))
      // A timer takes at least a millisecond.
      const passed = Math.max(1, milliseconds)
      now += passed
      active += passed * share
    },
  }
  const throttle = createBackgroundThrottle({ clock, active: () => active })
  /** A piece of work that takes this long. */
  const piece = (milliseconds: number) => async () => {
    now += milliseconds
    return milliseconds
  }
  return { throttle, piece, rests }
}

t.test('background work takes a 25th of the time while the event loop is busy', async (t) => {
  const { throttle, piece, rests } = buildThrottle(1)
  for (const took of [4, 10, 0]) t.equal(await throttle(piece(took)), took)
  await throttle(piece(500))
  await throttle(piece(1))
  await setImmediate()
  t.strictSame(rests, [96, 240, 0, 1000, 24], 'and rests for at most a second')
})

t.test('background work takes half of the time that other work leaves', async (t) => {
  for (const [load, took, rested] of [
    [0.2, 2, 3],
    [0.5, 10, 30],
    [0.75, 7, 49],
    [0.99, 10, 240],
  ] as const) {
    const { throttle, piece, rests } = buildThrottle(load)
    for (let count = 0; count < 2; count++) await throttle(piece(took))
    await setImmediate()
    t.equal(rests[1], rested, `load ${load}`)
  }
})

t.test('background work takes half of the time while the event loop is idle', async (t) => {
  const { throttle, piece, rests } = buildThrottle(0.1)
  for (const took of [4, 10, 20, 1]) await throttle(piece(took))
  await setImmediate()
  t.strictSame(rests, [96, 12, 24, 1], 'after the first rest')
})

t.test('pieces of work run one after the other, also after a failure', async (t) => {
  const { throttle, piece, rests } = buildThrottle(0.9)
  const failed = throttle(() => Promise.reject(new Error('full')))
  const others = [throttle(piece(2)), throttle(piece(3))]
  await t.rejects(failed, { message: 'full' })
  t.strictSame(await Promise.all(others), [2, 3])
  await setImmediate()
  t.strictSame(rests, [0, 38, 57])
})
