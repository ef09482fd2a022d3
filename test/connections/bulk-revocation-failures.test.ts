import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createBulkRevocations } from '../../server/connections/bulk-revocation.ts'
import type { Log } from '../../server/log.ts'
import { connect } from '../db/rows.ts'
import { openTemporary } from '../db/temporary.ts'
import { virtualClock } from '../virtual-clock.ts'

t.test('after a database error the bulk revocation shows it, and is retried', async (t) => {
  const { store } = await openTemporary(t)
  for (const id of ['a', 'b']) await connect(store, id)
  const { clock, advance } = virtualClock()
  const logged: string[] = []
  const plannedFailures = { revokeBulkItems: 1, takeBulk: 1 }
  const failIfPlanned = (method: keyof typeof plannedFailures) => {
    if (plannedFailures[method]-- > 0) throw new Error('the disk is full')
  }
  const bulks = createBulkRevocations({
    store: {
      ...store,
      async revokeBulkItems(batch: Parameters<Store['revokeBulkItems']>[0]) {
        failIfPlanned('revokeBulkItems')
        return store.revokeBulkItems(batch)
      },
      async takeBulk(lease: Parameters<Store['takeBulk']>[0]) {
        failIfPlanned('takeBulk')
        return store.takeBulk(lease)
      },
    },
    throttle: (piece) => piece(),
    clock,
    random: randomBytes,
    log: { error: (_: object, line: string) => logged.push(line) } as unknown as Log,
  })
  const id = await bulks.begin(['a', 'b'], 'test')
  await bulks.confirm(id, 'test')
  bulks.start()
  t.teardown(async () => {
    const stopped = bulks.stop()
    await advance(1)
    await stopped
  })
  await advance(1)
  t.match(logged, [/looking for bulk revocations failed/], 'it couldn’t look for work')
  await advance(5000)
  t.match(logged, [/looking for bulk revocations failed/, /a bulk revocation failed/])
  t.match((await bulks.find(id))?.bulk, { status: 'running', trouble: /can’t be written to/ })
  await advance(5000)
  t.match((await bulks.find(id))?.bulk, { status: 'done', revoked: 2, trouble: null })
  t.equal(logged.length, 2)
})

t.test('one that a dead process left without its connections blocks no other', async (t) => {
  const { store } = await openTemporary(t)
  for (const id of ['a', 'b', 'c']) await connect(store, id)
  const { clock, advance } = virtualClock()
  let taken = 0
  const bulks = createBulkRevocations({
    store: {
      ...store,
      async takeBulk(lease: Parameters<Store['takeBulk']>[0]) {
        taken++
        return store.takeBulk(lease)
      },
    },
    throttle: (piece) => piece(),
    clock,
    random: randomBytes,
    log: { error: () => undefined } as unknown as Log,
  })
  const dead = { leaseOwner: 'dead', leaseForMs: 0 }
  const request = { actor: 'test', address: null, createdAt: clock.now() }
  const left = await store.addBulk({ ...request, ...dead, filter: null }, () => [])
  const picked = await bulks.begin(['a', 'b'], 'test')
  const statuses = ['active' as const]
  const matching = await bulks.begin({ search: null, statuses, appId: null }, 'test')
  for (const id of [picked, matching]) await bulks.confirm(id, 'test')
  bulks.start()
  t.teardown(async () => {
    const stopped = bulks.stop()
    await advance(1)
    await stopped
  })
  for (let seconds = 0; seconds < 10; seconds++) await advance(1000)
  t.match((await bulks.find(left))?.bulk, { status: 'cancelled', leaseOwner: null, trouble: null })
  t.match((await bulks.find(picked))?.bulk, { status: 'done', revoked: 2 })
  t.match((await bulks.find(matching))?.bulk, { status: 'done', revoked: 1, skipped: 2 })
  t.ok(taken < 20, `${taken} looks for work in ten seconds`)
  const { rows } = await store.listEvents({ filter: { action: 'bulk.cancelled' }, limit: 9 })
  t.match(rows, [{ actor: 'system', details: `bulk revocation ${left}` }])
})
