import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createRefreshAhead } from '../../server/refresh/refresh-ahead.ts'
import type { Log } from '../../server/log.ts'
import { Secret } from '../../server/secret.ts'
import { virtualClock } from '../virtual-clock.ts'

const SECOND = 1000
const HOUR = 3600 * SECOND

/** A token in memory, fetched at the begin. */
const token = (life: number, used = true, fetchedAt = 0) => ({
  value: new Secret('t'),
  fetchedAt,
  expiresAt: fetchedAt + life,
  generation: 1,
  used,
})

/** Refreshing ahead by a clock of its own, of what a test puts into memory and into the store. */
function begin() {
  const { clock, advance } = virtualClock()
  const runtime = {
    memory: new Map<string, ReturnType<typeof token>>(),
    left: [] as string[],
    failed: [] as string[],
    broken: false,
    state: 'closed' as 'closed' | 'open',
    renew: async () => undefined as void,
    /** Who was renewed, and when. */
    renewed: [] as { id: string; at: number }[],
    logged: [] as string[],
  }
  const ahead = createRefreshAhead({
    store: {
      listFailed: () =>
        runtime.broken
          ? Promise.reject(new Error('the disk is gone'))
          : Promise.resolve(runtime.failed),
    } as unknown as Store,
    refresher: {
      peek: () => undefined,
      get: () => Promise.reject(new Error('nobody waits')),
      settled: () => Promise.resolve(),
      recall: (id) => runtime.memory.get(id),
      async renew(id) {
        runtime.renewed.push({ id, at: clock.now() })
        await runtime.renew()
      },
    },
    leases: {
      take: () => Promise.resolve(null),
      free: () => Promise.resolve(),
      listLeft: () => Promise.resolve(runtime.left),
    },
    breaker: { admits: () => true, run: (_, call) => call(), state: () => runtime.state },
    clock,
    random: randomBytes,
    log: { error: (_: object, line: string) => runtime.logged.push(line) } as unknown as Log,
    minTtlSeconds: 60,
  })
  const plan = (id: string, planned: ReturnType<typeof token>) => {
    runtime.memory.set(id, planned)
    ahead.plan(id, planned)
  }
  return { runtime, ahead, advance, plan }
}

t.test('what is in use is refreshed in time and spread out; what isn’t, is not', async (t) => {
  const { runtime, ahead, advance, plan } = begin()
  for (let count = 0; count < 100; count++) {
    plan(`used${count}`, token(HOUR))
    plan(`unused${count}`, token(HOUR, false))
  }
  ahead.start()
  await advance(HOUR)
  t.equal(runtime.renewed.length, 100)
  t.equal(new Set(runtime.renewed.map(({ id }) => id)).size, 100)
  t.ok(runtime.renewed.every(({ id }) => id.startsWith('used')))
  const times = runtime.renewed.map(({ at }) => at)
  t.ok(Math.min(...times) >= HOUR * 0.8)
  t.ok(Math.max(...times) <= HOUR * 0.95 - 57 * SECOND, 'before swaps have to wait for it')
  const crowd = (at: number) => times.filter((other) => Math.abs(other - at) < 5 * SECOND).length
  t.ok(Math.max(...times.map(crowd)) < 20, 'never many at once')
  await ahead.stop()
})

t.test('not before half of a life, and not what was replaced since', async (t) => {
  const { runtime, ahead, advance, plan } = begin()
  plan('short', token(60 * SECOND))
  plan('replaced', token(60 * SECOND))
  runtime.memory.set('replaced', token(HOUR, true, 20 * SECOND))
  ahead.plan('forgotten', token(60 * SECOND))
  ahead.start()
  await advance(29 * SECOND)
  t.equal(runtime.renewed.length, 0)
  await advance(5 * SECOND)
  t.same(
    runtime.renewed.map(({ id }) => id),
    ['short'],
  )
  await ahead.stop()
})

t.test('what couldn’t be refreshed is tried again while it lives', async (t) => {
  const { runtime, ahead, advance, plan } = begin()
  runtime.renew = () => Promise.reject(new Error('down'))
  plan('one', token(HOUR))
  ahead.start()
  await advance(HOUR - SECOND)
  const tries = runtime.renewed.length
  t.ok(tries > 5 && tries < 200, `${tries} tries`)
  await advance(40 * SECOND)
  const all = runtime.renewed.length
  await advance(HOUR)
  t.equal(runtime.renewed.length, all, 'then it is left to who asks for it')
  await ahead.stop()
})

t.test('while upstream is down it is left alone', async (t) => {
  const { runtime, ahead, advance, plan } = begin()
  runtime.state = 'open'
  plan('one', token(HOUR))
  ahead.start()
  await advance(HOUR - 100 * SECOND)
  t.equal(runtime.renewed.length, 0)
  runtime.state = 'closed'
  await advance(40 * SECOND)
  t.equal(runtime.renewed.length, 1)
  await ahead.stop()
})

t.test('what was left unfinished, or failed, is finished; an error ends nothing', async (t) => {
  const { runtime, ahead, advance } = begin()
  runtime.left = ['left', 'both']
  runtime.failed = ['both', 'failed']
  let end = () => undefined as void
  const held = new Promise<void>((resolve) => (end = resolve))
  runtime.renew = () => held
  ahead.start()
  await advance(4 * SECOND)
  const ids = () => runtime.renewed.map(({ id }) => id).sort()
  t.same(ids(), ['both', 'failed', 'left'], 'each once at a time')
  runtime.renew = () => Promise.reject(new Error('still down'))
  runtime.broken = true
  end()
  await advance(10 * SECOND)
  t.ok(runtime.logged.length > 1)
  t.equal(runtime.renewed.length, 3)
  runtime.broken = false
  await advance(4 * SECOND)
  t.ok(runtime.renewed.length > 3)
  await ahead.stop()
})

t.test('a stop waits for what is under way, and begins nothing more', async (t) => {
  const { runtime, ahead, advance } = begin()
  runtime.left = Array.from({ length: 20 }, (_, index) => `con_${index}`)
  let end = () => undefined as void
  const held = new Promise<void>((resolve) => (end = resolve))
  runtime.renew = () => held
  ahead.start()
  await advance(4 * SECOND)
  t.equal(runtime.renewed.length, 8, 'a few at once')
  let stopped = false
  const stop = ahead.stop().then(() => (stopped = true))
  await advance(SECOND)
  t.equal(stopped, false)
  end()
  await stop
  await advance(HOUR)
  t.equal(runtime.renewed.length, 8)
})
