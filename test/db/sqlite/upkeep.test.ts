import t from 'tap'
import { createSqliteStore } from '../../../db/sqlite/store.ts'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { NOW } from '../rows.ts'
import { migrations } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

t.test('sessions go at their end, and with their admin', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  const store = createSqliteStore(client)
  t.teardown(() => store.close())
  for (const id of ['ada', 'bob']) {
    const admin = { id, email: id, passwordHash: '', role: 'admin', createdAt: NOW } as const
    await store.addAdmin(admin, [])
  }
  const add = client.prepare('insert into sessions values (?, ?, 0, 0, ?, null, null, 1)')
  add.run('ended', 'ada', NOW)
  add.run('live', 'ada', NOW + 1)
  add.run('of bob', 'bob', NOW + 1)
  await store.sweep({ now: NOW, usedFor: 0, endedBefore: 0, eventsBefore: 0 })
  const left = client.prepare('select id_hash from sessions order by id_hash').pluck()
  t.strictSame(left.all(), ['live', 'of bob'])
  await store.removeAdmin({ email: 'bob', keepOne: false }, [])
  t.strictSame(left.all(), ['live'])
})

t.test('a sweep goes in small pieces, and when it is told to stop leaves the rest', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  const store = createSqliteStore(client)
  t.teardown(() => store.close())
  const add = client.prepare("insert into events (at, actor, action) values (1, 'cli', 'x')")
  for (let row = 0; row < 200; row++) add.run()
  const bounds = { now: NOW, usedFor: 0, endedBefore: 0, eventsBefore: 2 }
  t.match(await store.sweep(bounds, { stop: AbortSignal.abort() }), { events: 0 })
  let pieces = 0
  const throttle = <T>(piece: () => Promise<T>) => {
    pieces++
    return piece()
  }
  t.match(await store.sweep(bounds, { throttle }), { events: 200 })
  t.ok(pieces > 20, 'a few rows a piece')
})

t.test('pending erasures are found by the index made for it, and by no other', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  client.exec('drop index connections_erasing')
  t.throws(() => createSqliteStore(client), { message: /no such index: connections_erasing/ })
  client.close()
})
