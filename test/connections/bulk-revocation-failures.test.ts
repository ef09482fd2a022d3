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
