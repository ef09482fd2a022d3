import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { retryBusy } from '../../../db/sqlite/engine.ts'
import { createSqliteStore } from '../../../db/sqlite/store.ts'
import { migrations, openTemporary } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

t.test('writers wait for another process without blocking the event loop', async (t) => {
  const { store, directory } = await openTemporary(t)
  const holder = new Database(join(directory, 'broker.db'))
  t.teardown(() => holder.close())
  holder.exec('begin immediate')
  const writers = Array.from({ length: 20 }, (_, index) => store.setMeta({ [`k${index}`]: 'v' }))
  let turns = 0
  const counting = setInterval(() => {
    if (++turns === 5) holder.exec('rollback')
  }, 5)
  t.teardown(() => clearInterval(counting))
  t.strictSame(await store.getMeta(), {}, 'readers need not wait')
  await Promise.all(writers)
  t.ok(turns >= 5, 'a writer that blocked would wait for ever')
  t.equal(Object.keys(await store.getMeta()).length, 20)
})

t.test('a database that stays locked is an error after a while', async (t) => {
  const { directory } = await openTemporary(t)
  const [holder, other] = [1, 2].map(() => new Database(join(directory, 'broker.db')))
  t.teardown(() => [holder, other].forEach((client) => client?.close()))
  holder?.exec('begin immediate')
  other?.pragma('busy_timeout = 0')
  let tries = 0
  const work = () => {
    tries++
    other?.exec('begin immediate')
  }
  await t.rejects(retryBusy(work, 30), { code: 'SQLITE_BUSY' })
  t.ok(tries > 1)
})

t.test('other errors than a locked database are not retried', async (t) => {
  let tries = 0
  const fail = (error: unknown) =>
    retryBusy(() => {
      tries++
      throw error
    })
  await t.rejects(fail(new Error('broken', { cause: new Error('within') })), { message: 'broken' })
  await t.rejects(fail('no error at all'))
  t.equal(tries, 2)
})

t.test('after a failed write the next one runs', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  const store = createSqliteStore(client)
  t.teardown(() => store.close())
  client.pragma('query_only = ON')
  const [checked, written] = [store.checkWritable(), store.setMeta({ a: '1' })]
  await t.rejects(checked, { code: 'SQLITE_READONLY' })
  await t.rejects(written)
  client.pragma('query_only = OFF')
  await store.setMeta({ a: '2' })
  t.strictSame(await store.getMeta(), { a: '2' })
})
