import type { Test } from 'tap'
import type { BulkStatus, NewEvent, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, begin, connect, event, newGrant, NOW, sweep } from '../rows.ts'

const MINUTE = 60_000
const owner = 'me'
const lease = { owner, forMs: MINUTE }
const newBulk = {
  filter: { search: 'a', statuses: ['active' as const], appId: null },
  actor: 'admin:ann@example.com',
  address: '192.0.2.1',
  createdAt: NOW,
  leaseOwner: owner,
}
/** With its owner's lease. */
const leased = { ...newBulk, leaseForMs: MINUTE }

/** Who confirms, which need not be who asked. */
const confirmer = { actor: 'admin:bea@example.com', address: '192.0.2.2' }

/** A bulk revocation of these connections, which are made, up to where it is confirmed. */
async function collect(store: Store, ids: string[]): Promise<number> {
  for (const id of ids) await connect(store, id)
  const id = await store.addBulk(leased, () => [])
  await store.addBulkItems({ id, ...lease, connectionIds: ids, cursor: null })
  return id
}

/** From `ready` to `running`. */
const start = (store: Store, id: number, events: NewEvent[] = []): Promise<boolean> =>
  store.updateBulk({
    id,
    expected: { statuses: ['ready'] },
    changes: { status: 'running', startedAt: NOW, ...confirmer },
    events,
  })

/** Releases the owner's lease. */
const release = (store: Store, id: number, owner: string, trouble: string): Promise<boolean> =>
  store.updateBulk({
    id,
    expected: { leaseOwner: owner },
    changes: { leaseOwner: null, trouble },
    events: [],
  })

export function testBulk(t: Test, open: OpenStore): void {
  t.test('its owner collects each connection once', async (t) => {
    const store = await open(t)
    for (const id of ['a', 'b', 'c']) await connect(store, id)
    const id = await store.addBulk(leased, (id) => event(`asked for ${id}`))
    t.match(await store.getBulk(id), { ...newBulk, status: 'collecting', total: 0, cursor: null })
    const add = (connectionIds: string[], cursor: string | null, by = owner) =>
      store.addBulkItems({ id, ...lease, owner: by, connectionIds, cursor })
    t.equal(await add(['a', 'b'], 'here'), true)
    t.match(await store.getBulk(id), { total: 2, cursor: 'here', leaseOwner: owner })
    t.equal(await add(['x'], null, 'another'), false)
    t.equal(await start(store, id, event('too early')), false)
    t.equal(await add(['b', 'c'], null), true)
    t.match(await store.getBulk(id), { total: 3, status: 'ready', leaseOwner: null })
    t.equal(await add(['d'], null), false, 'it is complete')
    t.equal(await store.addBulkItems({ ...lease, id: 99, connectionIds: [], cursor: null }), false)
    const items = await store.listBulkItems({ id, failed: false, limit: 2 })
    t.equal(items.length, 2)
    t.match(items[0], { connectionId: 'a', username: 'user of a', status: 'active', error: null })
    t.strictSame(await store.listBulkItems({ id, failed: true, limit: 2 }), [])
    t.strictSame(await actions(store), [`asked for ${id}`])
  })

  t.test(
    'one of picked connections is ready at once, with those that can be revoked',
    async (t) => {
      const store = await open(t)
      for (const id of ['a', 'b', 'c']) await connect(store, id)
      await store.revokeConnection({ id: 'c', now: NOW, events: [] })
      const { actor, address, createdAt } = newBulk
      const connectionIds = ['a', 'b', 'b', 'c', 'none', '']
      const id = await store.addBulk({ actor, address, createdAt, connectionIds }, (id) =>
        event(`asked for ${id}`),
      )
      const ready = {
        status: 'ready' as const,
        total: 2,
        filter: null,
        leaseOwner: null,
        cursor: null,
      }
      t.match(await store.getBulk(id), { actor, address, createdAt, ...ready })
      const items = await store.listBulkItems({ id, failed: false, limit: 9 })
      t.strictSame(items.map((item) => item.connectionId).sort(), ['a', 'b'])
      t.equal(await store.takeBulk(lease), undefined, 'it waits for confirmation')
      t.strictSame(await actions(store), [`asked for ${id}`])
      const failing = store.addBulk({ actor, address, createdAt, connectionIds }, () => {
        throw new Error('stop')
      })
      await t.rejects(failing, /stop/)
      t.equal((await store.listBulks(9)).length, 1, 'all or nothing')
      const none = await store.addBulk({ actor, address, createdAt, connectionIds: [] }, () => [])
      t.match(await store.getBulk(none), { status: 'ready', total: 0 })
    },
  )

  t.test('a bulk revocation without connections is done as soon as it runs', async (t) => {
    const store = await open(t)
    const id = await collect(store, [])
    t.match(await store.getBulk(id), { status: 'ready', total: 0 })
    await start(store, id)
    await store.takeBulk(lease)
    t.equal(
      await store.revokeBulkItems({
        id,
        ...lease,
        now: NOW,
        limit: 5,
        maxDurationMs: Infinity,
      }),
      true,
    )
    t.match(await store.getBulk(id), { status: 'done', endedAt: NOW })
  })

  t.test('one owner at a time works on it, the oldest first', async (t) => {
    const store = await open(t)
    t.equal(await store.takeBulk(lease), undefined, 'there is no work')
    const first = await store.addBulk(leased, () => [])
    const second = await store.addBulk({ ...leased, leaseOwner: null }, () => [])
    const take = (owner: string, forMs = MINUTE) => store.takeBulk({ owner, forMs })
    t.equal((await take('b'))?.id, second, 'the first is taken')
    t.equal(await take('c'), undefined)
    t.equal(
      await store.addBulkItems({ id: first, owner, forMs: 0, connectionIds: [], cursor: 'x' }),
      true,
    )
    t.match(await take('c'), { id: first, leaseOwner: 'c' }, 'the lease has ended')
    t.equal(await release(store, first, owner, 'not mine'), false)
    t.match(await store.getBulk(first), { leaseOwner: 'c', trouble: null })
    t.equal(await release(store, first, 'c', 'the disk is full'), true)
    t.match(await store.getBulk(first), { leaseOwner: null, trouble: 'the disk is full' })
    t.equal((await take('d', 9 * MINUTE))?.id, first)
    t.equal((await take('e'))?.id, first, 'it ends too far ahead')
    t.strictSame(
      (await store.listBulks(9)).map(({ id }) => id),
      [second, first],
    )
    t.equal((await store.listBulks(1)).length, 1)
  })

  t.test('each connection is revoked once, with one event, in batches', async (t) => {
    const store = await open(t)
    const id = await collect(store, ['a', 'b', 'c'])
    await begin(store, newGrant('grant', { connectionId: 'a' }))
    await store.revokeConnection({ id: 'b', now: NOW, events: event('before') })
    const batch = { id, ...lease, now: NOW + 1, limit: 2, maxDurationMs: Infinity }
    t.equal(await store.revokeBulkItems(batch), false, 'not confirmed')
    t.equal(await start(store, id, event('started')), true)
    t.equal(await start(store, id, event('again')), false)
    t.equal(await store.revokeBulkItems(batch), false, 'not taken')
    await store.takeBulk(lease)
    t.equal(await store.revokeBulkItems({ ...batch, owner: 'another' }), false)
    t.equal(await store.revokeBulkItems(batch), true)
    t.match(await store.getBulk(id), { status: 'running', revoked: 1, skipped: 1, startedAt: NOW })
    t.match(await store.getConnection('a'), { status: 'revoked', refreshToken: null })
    t.equal((await store.getGrant('grant'))?.revokedAt, NOW + 1)
    t.equal(await store.revokeBulkItems(batch), true)
    t.match(await store.getBulk(id), {
      ...{ status: 'done', total: 3, revoked: 2, skipped: 1, failed: 0 },
      ...{ endedAt: NOW + 1, leaseOwner: null, trouble: null },
    })
    t.equal(await store.revokeBulkItems(batch), false)
    t.equal(await store.takeBulk(lease), undefined, 'there is no work')
    t.strictSame(await store.listBulkItems({ id, failed: false, limit: 9 }), [])
    const revoked = ['connection.revoked', 'connection.revoked']
    t.strictSame(await actions(store), ['before', 'started', ...revoked])
    const [last] = (await store.listEvents({ filter: { connectionId: 'c' }, limit: 1 })).rows
    t.match(last, { ...confirmer, details: `bulk revocation ${id}`, at: NOW + 1 })
    t.equal(await store.isErasurePending(), true)
  })

  t.test('a bulk revocation can be cancelled until it is done', async (t) => {
    const store = await open(t)
    const id = await collect(store, ['a', 'b'])
    await start(store, id)
    await store.takeBulk(lease)
    const batch = { id, ...lease, now: NOW + 1, limit: 1, maxDurationMs: Infinity }
    await store.revokeBulkItems(batch)
    const cancel = (statuses: BulkStatus[], events: NewEvent[]) =>
      store.updateBulk({
        id,
        expected: { statuses },
        changes: { status: 'cancelled', endedAt: NOW + 2, leaseOwner: null },
        events,
      })
    t.equal(await cancel(['collecting', 'ready'], event('too late')), false)
    t.equal(await cancel(['running'], event('cancelled', { at: NOW + 2 })), true)
    t.equal(await cancel(['running'], event('again')), false)
    t.equal(await store.revokeBulkItems(batch), false)
    t.match(await store.getBulk(id), { status: 'cancelled', revoked: 1, endedAt: NOW + 2 })
    t.equal((await store.getConnection('b'))?.status, 'active')
    t.strictSame(await actions(store), ['connection.revoked', 'cancelled'])
  })

  t.test('a batch ends when its time is over, but revokes at least one', async (t) => {
    const store = await open(t)
    const id = await collect(store, ['a', 'b'])
    await start(store, id)
    await store.takeBulk(lease)
    const batch = { id, ...lease, now: NOW, limit: 9, maxDurationMs: -1 }
    t.equal(await store.revokeBulkItems(batch), true)
    t.match(await store.getBulk(id), { status: 'running', revoked: 1 })
    t.equal(await store.revokeBulkItems(batch), true)
    t.match(await store.getBulk(id), { status: 'done', revoked: 2 })
  })

  t.test('an unconfirmed one is cancelled, and one that ended is deleted later', async (t) => {
    const store = await open(t)
    const DAY = 86_400_000
    const id = await collect(store, ['a', 'b'])
    const bounds = { keepUsedMs: DAY, eventsBefore: 0 }
    const sweepAt = (now: number) => sweep(store, { ...bounds, now, endedBefore: now - 30 * DAY })
    await sweepAt(NOW + DAY)
    t.equal((await store.getBulk(id))?.status, 'ready')
    await sweepAt(NOW + DAY + 1)
    t.equal((await store.getBulk(id))?.status, 'cancelled')
    t.strictSame(await store.listBulkItems({ id, failed: false, limit: 9 }), [])
    await sweepAt(NOW + 40 * DAY)
    t.equal(await store.getBulk(id), undefined)
  })
}
