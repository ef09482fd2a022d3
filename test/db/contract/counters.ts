import type { Test } from 'tap'
import type { OpenStore } from '../contract.ts'
import { NOW } from '../rows.ts'

export function testCounters(t: Test, open: OpenStore): void {
  t.test('counters add up within a window, and begin anew with the next', async (t) => {
    const store = await open(t)
    const until = NOW + 60_000
    t.strictSame(await store.getCounters(['a', 'b'], NOW), [0, 0])
    t.strictSame(await store.addToCounters([]), [])
    const both = [
      { key: 'a', add: 2, until },
      { key: 'b', add: 5, until },
    ]
    t.strictSame(await store.addToCounters(both), [2, 5])
    t.strictSame(await store.addToCounters(both), [4, 10])
    t.strictSame(await store.getCounters(['b', 'none', 'a'], NOW), [10, 0, 4])
    t.strictSame(await store.getCounters(['a'], until), [0], 'the window has ended')
    t.strictSame(await store.addToCounters([{ key: 'a', add: 1, until: until + 60_000 }]), [1])
    t.strictSame(await store.addToCounters([{ key: 'a', add: 1, until }]), [2], 'a clock is behind')
    t.strictSame(await store.getCounters(['a', 'b'], until), [2, 0])
  })
}
