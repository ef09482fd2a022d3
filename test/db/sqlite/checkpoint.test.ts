import { randomBytes } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Test } from 'tap'
import { copyDatabase } from '../../../db/data-directory/copy.ts'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { createSqliteStore } from '../../../db/sqlite/store.ts'
import { emptyLog, prepareCheckpoints } from '../../../db/sqlite/checkpoint.ts'
import { migrations } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'
import { purge } from '../rows.ts'

/** Some 50 pages of the log. Alike ones wouldn't be written again. */
const long = () => randomBytes(100_000).toString('hex')

async function open(t: Test) {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  const store = createSqliteStore(client)
  const path = join(directory, 'broker.db')
  const reader = new Database(path)
  t.teardown(async () => {
    reader.close()
    await store.close()
  })
  const state = client.prepare<[], [number, number, number]>('pragma wal_checkpoint(NOOP)').raw()
  return {
    client,
    store,
    reader,
    path,
    /** Pages of the log that aren't in the database yet. */
    waiting() {
      // Or SQLite answers from what this connection knew last.
      client.prepare('select 1 from meta').get()
      const [, log = 0, copied = 0] = state.get() ?? []
      return log - copied
    },
    async write(times: number) {
      for (let time = 0; time < times; time++) await store.setMeta({ long: long() })
    },
  }
}

t.test('the log is copied in small parts', async (t) => {
  const { write, waiting, path } = await open(t)
  let most = 0
  for (let time = 0; time < 30; time++) {
    await write(1)
    most = Math.max(most, waiting())
  }
  t.ok(most > 100, 'not at each commit')
  t.ok(most < 300, `${most} pages waited at most`)
  t.ok(statSync(`${path}-wal`).size < 2_000_000, 'and written over')
})

t.test('a log that grows during a long read is left to the reader', async (t) => {
  const { client, write, waiting, reader } = await open(t)
  await write(1)
  reader.exec('begin; select count(*) from meta')
  await write(30)
  reader.exec('rollback')
  await write(1)
  t.ok(waiting() > 1000, 'a commit doesn’t copy it')
  emptyLog(reader)
  t.equal(waiting(), 0)
  await write(5)
  t.ok(waiting() < 300, 'from then on as before')
  t.equal(client.pragma('integrity_check', { simple: true }), 'ok')
})

t.test('or copied later: a very long one after a minute, others after a second', async (t) => {
  const { now } = performance
  t.teardown(() => (performance.now = now))
  for (const [times, milliseconds] of [
    [30, 1100],
    [180, 61_000],
  ] as const) {
    const { write, waiting, reader } = await open(t)
    const passed = (by: number) => (performance.now = () => now.call(performance) + by)
    passed(0)
    reader.exec('begin; select count(*) from meta')
    await write(times)
    reader.exec('rollback')
    passed(milliseconds / 2)
    await write(1)
    t.ok(waiting() > 1000, `${waiting()} are left to whoever reads`)
    passed(milliseconds)
    await write(1)
    t.ok(waiting() < 100)
  }
})

t.test('a copy truncates the log, also if it fails', async (t) => {
  const { write, path, reader } = await open(t)
  for (const name of ['copy', 'none/copy']) {
    reader.exec('begin; select count(*) from meta')
    await write(30)
    reader.exec('rollback')
    t.ok(statSync(`${path}-wal`).size > 4_000_000)
    const to = join(dirname(path), name)
    await copyDatabase(path, to, undefined).catch(() => undefined)
    t.equal(existsSync(to), name === 'copy')
    t.equal(statSync(`${path}-wal`).size, 0)
  }
})

t.test('a start truncates the log that a killed process left', async (t) => {
  const { write, path, reader } = await open(t)
  reader.exec('begin; select count(*) from meta')
  await write(30)
  reader.exec('rollback')
  const client = await openDatabase({
    directory: dirname(path),
    migrations,
    nativeBinding: undefined,
  })
  t.teardown(() => client.close())
  t.equal(statSync(`${path}-wal`).size, 0)
})

t.test(
  'a log that is left to a reader isn’t truncated by an erasure, which stays pending',
  async (t) => {
    const { write, store, reader } = await open(t)
    reader.exec('begin; select count(*) from meta')
    await write(30)
    reader.exec('rollback')
    t.equal(await purge(store, 1), false)
    const { now } = performance
    t.teardown(() => (performance.now = now))
    performance.now = () => now.call(performance) + 1100
    t.equal(await purge(store, 1), true, 'which copies it in its time, though nobody writes')
  },
)

t.test('a log that can’t be copied causes no error', async (t) => {
  const client = new Database(':memory:')
  const checkpoint = prepareCheckpoints(client)
  client.close()
  t.doesNotThrow(checkpoint)
  t.doesNotThrow(() => emptyLog(client))
})
