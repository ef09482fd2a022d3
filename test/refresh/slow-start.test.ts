import t from 'tap'
import { SLOW_START_MS, Rate, slowStartDelayMs } from '../../server/refresh/slow-start.ts'

t.test('a rate is what went by; a time that doesn’t count is left out', async (t) => {
  const rate = new Rate()
  t.equal(rate.perSecond, 0)
  for (let at = 0; at <= 10_000; at += 100) rate.add(at)
  t.ok(Math.abs(rate.perSecond - 10) < 1, `${rate.perSecond}`)
  rate.interrupt()
  rate.add(1_000_000)
  t.ok(Math.abs(rate.perSecond - 10) < 1, `${rate.perSecond}`)
})

t.test('turns begin at the rate of before, and all come within four seconds', async (t) => {
  t.equal(slowStartDelayMs(0, 100), 0)
  t.equal(slowStartDelayMs(100, 100), 1000)
  t.ok(slowStartDelayMs(1000, 100) < 2500)
  t.equal(slowStartDelayMs(1e9, 100), SLOW_START_MS)
  t.equal(slowStartDelayMs(5, 0), 1000, 'five a second are few to anyone')
})
