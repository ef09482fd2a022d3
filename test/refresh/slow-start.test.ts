import t from 'tap'
import { CallRate, SLOW_START_MS, slowStartDelayMs } from '../../server/refresh/slow-start.ts'

t.test('CallRate averages calls per second, and excludes interruptions', async (t) => {
  const rate = new CallRate()
  t.equal(rate.perSecond, 0)
  for (let at = 0; at <= 10_000; at += 100) rate.add(at)
  t.ok(Math.abs(rate.perSecond - 10) < 1, `${rate.perSecond}`)
  rate.interrupt()
  rate.add(1_000_000)
  t.ok(Math.abs(rate.perSecond - 10) < 1, `${rate.perSecond}`)
})

t.test('delays start at the former rate, and are at most four seconds', async (t) => {
  t.equal(slowStartDelayMs(0, 100), 0)
  t.equal(slowStartDelayMs(100, 100), 1000)
  t.ok(slowStartDelayMs(1000, 100) < 2500)
  t.equal(slowStartDelayMs(1e9, 100), SLOW_START_MS)
  t.equal(slowStartDelayMs(5, 0), 1000, 'at least five calls per second')
})
