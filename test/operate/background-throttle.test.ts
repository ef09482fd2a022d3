import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createBackgroundThrottle } from '../../server/operate/background-throttle.ts'

/** A pace whose time passes only in rests and by hand; what else goes on in them takes `share` of it. */
function paced(share: number) {
  let [now, active] = [0, 0]
  const rests: number[] = []
  const clock = {
    // A clock that is set back again and again.
    now: () => -now * 1000,
    steady: () => now,
    sleep: async (milliseconds: number) => {
      rests.push(milliseconds)
      // A timer takes a millisecond at least.
      const passed = Math.max(1, milliseconds)
      now += passed
      active += passed * share
    },
  }
  const throttle = createBackgroundThrottle({ clock, active: () => active })
  /** A piece that takes so long. */
  const piece = (milliseconds: number) => async () => {
    now += milliseconds
    return milliseconds
  }
  return { throttle, piece, rests }
}

t.test('background work takes a tenth of the time while others need it', async (t) => {
  const { throttle, piece, rests } = paced(0.9)
  for (const took of [4, 10, 0]) t.equal(await throttle(piece(took)), took)
  await throttle(piece(500))
  await throttle(piece(1))
  await setImmediate()
  t.strictSame(rests, [36, 90, 0, 1000, 9], 'and rests for a second at most')
})

t.test('half of it while nobody does', async (t) => {
  const { throttle, piece, rests } = paced(0.1)
  for (const took of [4, 10, 20, 1]) await throttle(piece(took))
  await setImmediate()
  t.strictSame(rests, [36, 10, 20, 1], 'once it knows')
})

t.test('all of it together: pieces take turns, and a failed one holds up none', async (t) => {
  const { throttle, piece, rests } = paced(0.9)
  const failed = throttle(() => Promise.reject(new Error('full')))
  const others = [throttle(piece(2)), throttle(piece(3))]
  await t.rejects(failed, { message: 'full' })
  t.strictSame(await Promise.all(others), [2, 3])
  await setImmediate()
  t.strictSame(rests, [0, 18, 27])
})
