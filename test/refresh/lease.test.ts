import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { createLeases, LeaseLostError } from '../../server/refresh/lease.ts'
import { connectMany } from '../operate/load.ts'
import { buildHeadless } from '../operate/headless.ts'

/** Two processes' leases on one store, and its one connection. */
async function begin(t: Test) {
  const broker = await (await buildHeadless(t)).start()
  const { store } = broker.services
  broker.clock.stop()
  const [device] = await connectMany(broker, 1)
  const id = device?.connectionId ?? ''
  const dead = new Set<string>()
  let slept = 0
  const sleep = async (milliseconds: number) => {
    slept += milliseconds
  }
  const process = (name: string) =>
    createLeases({
      store,
      processes: { id: name, hasDied: (other) => dead.has(other) },
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
    slept: () => slept,
  }
}

t.test('one holds it until it frees it; nothing is in doubt then', async (t) => {
  const { one, other, read, id } = await begin(t)
  const lease = await one.take(await read())
  t.match(lease, { doubt: null })
  t.equal(await other.take(await read()), null)
  t.same(await other.listLeft(10), [])
  await lease?.extend()
  if (lease) await one.free(lease)
  t.match(await other.take(await read()), { connection: { id }, doubt: null })
})

t.test(
  'a dead process’s lease is taken over after twenty seconds, a living one’s isn’t',
  async (t) => {
    const broker = await begin(t)
    const { one, other, read, id, clock, dead } = broker
    const lease = await one.take(await read())
    clock.advance(21_000)
    t.equal(await other.take(await read()), null, 'it may be at work')
    t.same(await other.listLeft(10), [])
    dead.add('a.one')
    t.same(await other.listLeft(10), [id])
    const taken = await other.take(await read())
    t.equal(taken?.doubt, 'answer_lost')
    t.equal(broker.slept(), 0, 'nobody is left who could store anything')
    const late = await lease?.extend().catch((error: unknown) => error)
    t.ok(late instanceof LeaseLostError)
    dead.delete('a.one')
    if (lease) await one.free(lease)
    t.equal(await one.take(await read()), null, 'who no longer holds it frees nothing')
  },
)

t.test('not sooner: its call may be on its way', async (t) => {
  const { one, other, read, clock, dead } = await begin(t)
  await one.take(await read())
  dead.add('a.one')
  clock.advance(4900)
  t.equal(await other.take(await read()), null)
  t.same(await other.listLeft(10), [])
  clock.advance(100)
  t.equal((await other.take(await read()))?.doubt, 'answer_lost', 'a grace may be short')
})

t.test('a paused process’s lease ends after 30 seconds, with a last chance to store', async (t) => {
  const { one, other, read, id, clock, slept } = await begin(t)
  await one.take(await read())
  clock.advance(30_000)
  t.same(await other.listLeft(10), [id])
  t.equal((await other.take(await read()))?.doubt, 'answer_lost')
  t.equal(slept(), 1000)
})

t.test('whoever was paused before its call makes it no more', async (t) => {
  const { one, read, clock } = await begin(t)
  const lease = await one.take(await read())
  clock.advance(9000)
  lease?.check()
  clock.advance(2000)
  t.throws(() => lease?.check(), 'the call may outlast the lease')
  await lease?.extend()
  lease?.check()
})

t.test('one that ends further ahead than any can is of before a restart', async (t) => {
  const { one, other, read, id, clock } = await begin(t)
  clock.advance(3_600_000)
  await one.take(await read())
  clock.advance(-3_600_000)
  t.same(await other.listLeft(10), [id])
  t.equal((await other.take(await read()))?.doubt, 'answer_lost')
})

t.test('a lease that took long to write is written anew', async (t) => {
  const { one, store, read, clock } = await begin(t)
  const update = store.updateLease.bind(store)
  let writes = 0
  store.updateLease = async (lease) => {
    const held = await update(lease)
    if (writes++ === 0) clock.advance(6000)
    return held
  }
  const lease = await one.take(await read())
  await lease?.extend()
  t.equal(writes, 2)
  const left = ((await read()).leaseUntil ?? 0) - clock.steady()
  t.ok(left > 25_000, `${left} ms`)
})

t.test('whoever read it before another took and left it is warned all the same', async (t) => {
  const { one, other, read, clock, slept } = await begin(t)
  const early = await read()
  await other.take(early)
  clock.advance(30_000)
  t.match(await one.take(early), { doubt: 'answer_lost', connection: { doubt: 'answer_lost' } })
  t.equal(slept(), 1000)
})

t.test('what ended while the lease was taken is not refreshed', async (t) => {
  const { one, store, read, id } = await begin(t)
  const connection = await read()
  const take = store.takeLease.bind(store)
  store.takeLease = async (lease) => {
    const taken = await take(lease)
    await store.revokeConnection({ id, now: 1, events: [] })
    return taken
  }
  t.equal(await one.take(connection), null)
})

t.test('a row that names no end is held by nobody living', async (t) => {
  const { one, read, store, id, dead } = await begin(t)
  const own = { id, expectedGeneration: (await read()).generation, owner: 'gone.1' }
  await store.takeLease({ ...own, now: 0, until: 1e15, maxLeaseMs: 1e16, deadOwner: null })
  dead.add('gone')
  t.match(await one.take({ ...(await read()), leaseUntil: null }), { doubt: 'answer_lost' })
})

t.test('a lease that can’t be freed ends by itself', async (t) => {
  const { one, store, read } = await begin(t)
  const lease = await one.take(await read())
  store.updateLease = () => Promise.reject(new Error('the disk is gone'))
  if (lease) await t.resolves(one.free(lease))
})
