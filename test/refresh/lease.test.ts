import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { createLeases, LeaseLostError } from '../../server/refresh/lease.ts'
import { connectMany } from '../operate/load.ts'
import { buildHeadless } from '../operate/headless.ts'

/** The leases of two processes on one store with one connection. */
async function begin(t: Test) {
  const broker = await (await buildHeadless(t)).start()
  const { store } = broker.services
  broker.clock.stop()
  const [device] = await connectMany(broker, 1)
  const id = device?.connectionId ?? ''
  const dead = new Set<string>()
  let holdMs = 30_000
  let sleptMs = 0
  const sleep = async (milliseconds: number) => {
    sleptMs += milliseconds
  }
  const process = (name: string) =>
    createLeases({
      store,
      processes: {
        id: name,
        leaseMs: 30_000,
        holdMs: () => holdMs,
        hasDied: async (other) => dead.has(other),
      },
      clock: { ...broker.clock, sleep },
      random: randomBytes,
    })
  const read = async () => {
    const connection = await store.getConnection(id)
    if (!connection) throw new Error('no connection')
    return connection
  }
  return {
    store,
    id,
    clock: broker.clock,
    dead,
    one: process('a.one'),
    other: process('two'),
    read,
    sleptMs: () => sleptMs,
    setHoldMs: (milliseconds: number) => void (holdMs = milliseconds),
  }
}

t.test('a lease is exclusive until it is released, which leaves no stale reason', async (t) => {
  const { one, other, read, id } = await begin(t)
  const lease = await one.acquire(await read())
  t.match(lease, { staleReason: null })
  t.equal(await other.acquire(await read()), null)
  t.same(await other.listAbandoned(10), [])
  await lease?.extend()
  if (lease) await one.release(lease)
  t.match(await other.acquire(await read()), { connection: { id }, staleReason: null })
})

t.test('a process that others may soon count as dead takes no lease', async (t) => {
  const { one, other, read, setHoldMs } = await begin(t)
  setHoldMs(19_999)
  t.equal(await one.acquire(await read()), null)
  t.equal((await read()).leaseOwner, null)
  setHoldMs(20_000)
  const lease = await one.acquire(await read())
  lease?.assertOutlastsCall()
  setHoldMs(19_999)
  await lease?.extend()
  t.throws(() => lease?.assertOutlastsCall())
  t.equal(await other.acquire(await read()), null)
})

t.test('the lease of a dead process is taken over, that of a living one is not', async (t) => {
  const broker = await begin(t)
  const { one, other, read, id, clock, dead } = broker
  const lease = await one.acquire(await read())
  clock.advance(21_000)
  t.equal(await other.acquire(await read()), null, 'its process is alive')
  t.same(await other.listAbandoned(10), [])
  dead.add('a.one')
  t.same(await other.listAbandoned(10), [id])
  const taken = await other.acquire(await read())
  t.equal(taken?.staleReason, 'answer_lost')
  t.equal(broker.sleptMs(), 0, 'a dead process can store nothing')
  const late = await lease?.extend().catch((error: unknown) => error)
  t.ok(late instanceof LeaseLostError)
  dead.delete('a.one')
  if (lease) await one.release(lease)
  t.equal(await one.acquire(await read()), null, 'a lost lease cannot be released')
})

t.test(
  'the lease of a dead process is kept for five seconds, while its call may be in progress',
  async (t) => {
    const { one, other, read, clock, dead } = await begin(t)
    await one.acquire(await read())
    dead.add('a.one')
    clock.advance(4900)
    t.equal(await other.acquire(await read()), null)
    t.same(await other.listAbandoned(10), [])
    clock.advance(100)
    t.equal(
      (await other.acquire(await read()))?.staleReason,
      'answer_lost',
      'taken over before a short grace period ends',
    )
  },
)

t.test(
  'the lease of a paused process expires after 30 seconds; the next owner waits for a late write',
  async (t) => {
    const { one, other, read, id, clock, sleptMs } = await begin(t)
    await one.acquire(await read())
    clock.advance(30_000)
    t.same(await other.listAbandoned(10), [id])
    t.equal((await other.acquire(await read()))?.staleReason, 'answer_lost')
    t.equal(sleptMs(), 1000)
  },
)

t.test('a process that was paused before its call does not make it', async (t) => {
  const { one, read, clock } = await begin(t)
  const lease = await one.acquire(await read())
  clock.advance(9000)
  lease?.assertOutlastsCall()
  clock.advance(2000)
  t.throws(() => lease?.assertOutlastsCall(), 'the call could outlast the lease')
  await lease?.extend()
  lease?.assertOutlastsCall()
})

t.test(
  'a lease that ends later than possible is from before a restart, and counts as expired',
  async (t) => {
    const { one, other, read, id, clock } = await begin(t)
    clock.advance(3_600_000)
    await one.acquire(await read())
    clock.advance(-3_600_000)
    t.same(await other.listAbandoned(10), [id])
    t.equal((await other.acquire(await read()))?.staleReason, 'answer_lost')
  },
)

t.test('a lease that was written slowly is written again', async (t) => {
  const { one, store, read, clock } = await begin(t)
  const update = store.updateLease.bind(store)
  let writes = 0
  store.updateLease = async (lease) => {
    const held = await update(lease)
    if (writes++ === 0) clock.advance(6000)
    return held
  }
  const lease = await one.acquire(await read())
  await lease?.extend()
  t.equal(writes, 2)
  const left = (await read()).leaseRemainingMs ?? 0
  t.ok(left > 25_000, `${left} ms`)
})

t.test(
  'acquire reports the stale reason if another process abandoned its lease after the read',
  async (t) => {
    const { one, other, read, clock, sleptMs } = await begin(t)
    const early = await read()
    await other.acquire(early)
    clock.advance(30_000)
    t.match(await one.acquire(early), {
      staleReason: 'answer_lost',
      connection: { staleReason: 'answer_lost' },
    })
    t.equal(sleptMs(), 1000)
  },
)

t.test('acquire returns null if the connection was revoked meanwhile', async (t) => {
  const { one, store, read, id } = await begin(t)
  const connection = await read()
  const take = store.takeLease.bind(store)
  store.takeLease = async (lease) => {
    const taken = await take(lease)
    await store.revokeConnection({ id, now: 1, events: [] })
    return taken
  }
  t.equal(await one.acquire(connection), null)
})

t.test('a lease without an end is taken over from a dead process', async (t) => {
  const { one, read, store, id, dead } = await begin(t)
  const own = { id, expectedGeneration: (await read()).generation, owner: 'gone.1' }
  await store.takeLease({ ...own, forMs: 30_000, maxLeaseMs: 30_000, deadOwner: null })
  dead.add('gone')
  t.match(await one.acquire({ ...(await read()), leaseRemainingMs: null }), {
    staleReason: 'answer_lost',
  })
})

t.test('release ignores errors of the store: the lease expires', async (t) => {
  const { one, store, read } = await begin(t)
  const lease = await one.acquire(await read())
  store.updateLease = () => Promise.reject(new Error('the disk is gone'))
  if (lease) await t.resolves(one.release(lease))
})

t.test('a lease that an attempt left behind is taken over by its own process only', async (t) => {
  const { one, other, read, id, clock } = await begin(t)
  const lease = await one.acquire(await read())
  clock.advance(6000)
  t.equal(await one.acquire(await read()), null, 'the attempt is in progress')
  if (lease) one.end(lease)
  t.same(await other.listAbandoned(10), [], 'for others its process is alive')
  t.same(await one.listAbandoned(10), [id])
  t.match(await one.acquire(await read()), { staleReason: 'answer_lost' })
})
