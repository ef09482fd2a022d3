import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createRefreshAhead } from '../../server/refresh/refresh-ahead.ts'
import type { Log } from '../../server/log.ts'
import { Secret } from '../../server/secret.ts'
import { virtualClock } from '../virtual-clock.ts'

const SECOND = 1000
const HOUR = 3600 * SECOND

/** A cached token, by default fetched at the start. */
const token = (life: number, used = true, fetchedAt = 0) => ({
  value: new Secret('t'),
  fetchedAt,
  expiresAt: fetchedAt + life,
  generation: 1,
  used,
})

/** RefreshAhead with a virtual clock, and with the cache and store that a test defines. */
function begin() {
  const { clock, advance } = virtualClock()
  const state = {
    memory: new Map<string, ReturnType<typeof token>>(),
    abandoned: [] as string[],
    failed: [] as string[],
    broken: false,
    breaker: 'closed' as 'closed' | 'open',
    refresh: async () => undefined as void,
    /** Refreshed connections, and when. */
    refreshed: [] as { id: string; at: number }[],
    logged: [] as string[],
  }
  const ahead = createRefreshAhead({
    store: {
      listFailed: () =>
        state.broken
          ? Promise.reject(new Error('the disk is gone'))
          : Promise.resolve(state.failed),
    } as unknown as Store,
    refresher: {
      getCached: () => undefined,
      findCached: () => undefined,
      get: () => Promise.reject(new Error('not expected')),
      settled: () => Promise.resolve(),
      inspectCache: (id) => state.memory.get(id),
      async refreshInBackground(id) {
        state.refreshed.push({ id, at: clock.now() })
        await state.refresh()
      },
    },
    leases: {
      acquire: () => Promise.resolve(null),
      release: () => Promise.resolve(),
      end: () => undefined,
      listAbandoned: () => Promise.resolve(state.abandoned),
    },
    breaker: { allows: () => true, run: (_, call) => call(), state: () => state.breaker },
    clock,
    random: randomBytes,
    log: { error: (_: object, line: string) => state.logged.push(line) } as unknown as Log,
    minTtlSeconds: 60,
  })
  const schedule = (id: string, cached: ReturnType<typeof token>) => {
    state.memory.set(id, cached)
    ahead.schedule(id, cached)
  }
  return { state, ahead, advance, schedule }
}

t.test(
  'used tokens are refreshed before expiry and spread out; unused ones are not refreshed',
  async (t) => {
    const { state, ahead, advance, schedule } = begin()
    for (let count = 0; count < 100; count++) {
      schedule(`used${count}`, token(HOUR))
      schedule(`unused${count}`, token(HOUR, false))
    }
    ahead.start()
    await advance(HOUR)
    t.equal(state.refreshed.length, 100)
    t.equal(new Set(state.refreshed.map(({ id }) => id)).size, 100)
    t.ok(state.refreshed.every(({ id }) => id.startsWith('used')))
    const times = state.refreshed.map(({ at }) => at)
    t.ok(Math.min(...times) >= HOUR * 0.8)
    t.ok(Math.max(...times) <= HOUR * 0.95 - 57 * SECOND, 'before swaps have to wait')
    const countNear = (at: number) =>
      times.filter((other) => Math.abs(other - at) < 5 * SECOND).length
    t.ok(Math.max(...times.map(countNear)) < 20, 'never many at the same time')
    await ahead.stop()
  },
)

t.test('no refresh before half of the lifetime, and none of a replaced token', async (t) => {
  const { state, ahead, advance, schedule } = begin()
  schedule('short', token(60 * SECOND))
  schedule('replaced', token(60 * SECOND))
  state.memory.set('replaced', token(HOUR, true, 20 * SECOND))
  ahead.schedule('forgotten', token(60 * SECOND))
  ahead.start()
  await advance(29 * SECOND)
  t.equal(state.refreshed.length, 0)
  await advance(5 * SECOND)
  t.same(
    state.refreshed.map(({ id }) => id),
    ['short'],
  )
  await ahead.stop()
})

t.test('a failed refresh is retried until the token expires', async (t) => {
  const { state, ahead, advance, schedule } = begin()
  state.refresh = () => Promise.reject(new Error('down'))
  schedule('one', token(HOUR))
  ahead.start()
  await advance(HOUR - SECOND)
  const tries = state.refreshed.length
  t.ok(tries > 5 && tries < 200, `${tries} tries`)
  await advance(40 * SECOND)
  const all = state.refreshed.length
  await advance(HOUR)
  t.equal(state.refreshed.length, all, 'not after it has expired')
  await ahead.stop()
})

t.test('no refresh while the circuit breaker is open', async (t) => {
  const { state, ahead, advance, schedule } = begin()
  state.breaker = 'open'
  schedule('one', token(HOUR))
  ahead.start()
  await advance(HOUR - 100 * SECOND)
  t.equal(state.refreshed.length, 0)
  state.breaker = 'closed'
  await advance(40 * SECOND)
  t.equal(state.refreshed.length, 1)
  await ahead.stop()
})

t.test(
  'abandoned and failed refreshes are finished; an error does not stop the search',
  async (t) => {
    const { state, ahead, advance } = begin()
    state.abandoned = ['abandoned', 'both']
    state.failed = ['both', 'failed']
    let end = () => undefined as void
    const held = new Promise<void>((resolve) => (end = resolve))
    state.refresh = () => held
    ahead.start()
    await advance(4 * SECOND)
    const ids = () => state.refreshed.map(({ id }) => id).sort()
    t.same(ids(), ['abandoned', 'both', 'failed'], 'each only once at a time')
    state.refresh = () => Promise.reject(new Error('still down'))
    state.broken = true
    end()
    await advance(10 * SECOND)
    t.ok(state.logged.length > 1)
    t.equal(state.refreshed.length, 3)
    state.broken = false
    await advance(4 * SECOND)
    t.ok(state.refreshed.length > 3)
    await ahead.stop()
  },
)

t.test('stop waits for refreshes in progress, and begins no more', async (t) => {
  const { state, ahead, advance } = begin()
  state.abandoned = Array.from({ length: 20 }, (_, index) => `con_${index}`)
  let end = () => undefined as void
  const held = new Promise<void>((resolve) => (end = resolve))
  state.refresh = () => held
  ahead.start()
  await advance(4 * SECOND)
  t.equal(state.refreshed.length, 8, 'a few at a time')
  let stopped = false
  const stop = ahead.stop().then(() => (stopped = true))
  await advance(SECOND)
  t.equal(stopped, false)
  end()
  await stop
  await advance(HOUR)
  t.equal(state.refreshed.length, 8)
})
