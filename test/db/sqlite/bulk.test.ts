import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { connect, NOW } from '../rows.ts'
import { openTemporary } from '../temporary.ts'

const lease = { owner: 'me', forMs: 60_000 }
const by = { actor: 'cli', address: null }
const lent = { leaseOwner: lease.owner, leaseForMs: lease.forMs }
const confirmation = {
  expected: {},
  changes: { status: 'running', startedAt: NOW } as const,
  events: [],
}
const newBulk = { filter: null, ...by, createdAt: NOW, ...lent }

t.test('a connection that can’t be changed is kept with its error, the others go on', async (t) => {
  const { store, directory } = await openTemporary(t)
  for (const id of ['a', 'b', 'c']) await connect(store, id)
  const id = await store.addBulk(newBulk, () => [])
  await store.addBulkItems({ id, ...lease, connectionIds: ['a', 'b', 'c'], cursor: null })
  const client = new Database(join(directory, 'broker.db'))
  client.exec(`create trigger stuck before update of revoked_at on connections when old.id = 'b'
    begin select raise(abort, 'stuck'); end`)
  await store.updateBulk({ id, ...confirmation })
  await store.takeBulk(lease)
  t.equal(
    await store.revokeBulkItems({ id, ...lease, now: NOW, limit: 9, maxDurationMs: Infinity }),
    true,
  )
  t.match(await store.getBulk(id), { status: 'done', revoked: 2, failed: 1 })
  t.match(await store.getConnection('b'), { status: 'active', refreshToken: Uint8Array })
  t.match(await store.listBulkItems({ id, failed: true, limit: 9 }), [
    { connectionId: 'b', error: 'stuck' },
  ])
  t.equal((await store.listEvents({ limit: 9 })).rows.length, 2)

  client.exec('drop trigger stuck')
  client.exec(`create trigger full before update of revoked_at on connections
    begin select no_such_function(1); end`)
  client.close()
  const other = await store.addBulk(newBulk, () => [])
  await store.addBulkItems({ id: other, ...lease, connectionIds: ['b'], cursor: null })
  await store.updateBulk({ id: other, ...confirmation })
  await store.takeBulk(lease)
  await t.rejects(
    store.revokeBulkItems({ id: other, ...lease, now: NOW, limit: 9, maxDurationMs: Infinity }),
  )
  t.match(await store.getBulk(other), { status: 'running', failed: 0 }, 'no fault of the row')
})
