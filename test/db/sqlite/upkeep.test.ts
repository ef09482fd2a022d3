import t from 'tap'
import { createSqliteStore } from '../../../db/sqlite/store.ts'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { NOW, sweep } from '../rows.ts'
import { migrations } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

t.test('expired sessions, and those of a removed admin, are deleted', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  const store = createSqliteStore(client)
  t.teardown(() => store.close())
  for (const id of ['ada', 'bob']) {
    const admin = { id, email: id, passwordHash: '', role: 'admin', createdAt: NOW } as const
    await store.addAdmin(admin, { events: [] })
  }
  const add =
    client.prepare(`insert into sessions (id_hash, admin_id, created_at, last_seen_at, expires_at)
    values (?, ?, 0, 0, ?)`)
  add.run('ended', 'ada', NOW)
  add.run('live', 'ada', NOW + 1)
  add.run('of bob', 'bob', NOW + 1)
  await sweep(store, { now: NOW, keepUsedMs: 0, endedBefore: 0, eventsBefore: 0 })
  const left = client.prepare('select id_hash from sessions order by id_hash').pluck()
  t.strictSame(left.all(), ['live', 'of bob'])
  const bob = await store.findAdmin('bob')
  if (bob) await store.updateAdmin(bob, null, { events: [] })
  t.strictSame(left.all(), ['live'])
})

t.test('pending erasures are found by their own index', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  client.exec('drop index connections_erasing')
  t.throws(() => createSqliteStore(client), { message: /no such index: connections_erasing/ })
  client.close()
})
