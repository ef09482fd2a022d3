import t from 'tap'
import type { Test } from 'tap'
import type Database from 'better-sqlite3'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { createEngine } from '../../../db/sqlite/engine.ts'
import { prepareCuts } from '../../../db/sql/listing-cut.ts'
import { prepareSearch } from '../../../db/sql/listing-search.ts'
import { migrations } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

/** Of so many a name is looked for by its trigrams. */
const MANY = 30_001
const everybody = { app: 0, statuses: [0, 1, 2] }

async function openDatabaseOf(
  t: Test,
  people: { prefix: string; count: number; status: string }[],
) {
  const client = await openDatabase({
    directory: temporaryFolder(t),
    migrations,
    nativeBinding: undefined,
  })
  t.teardown(() => client.close())
  for (const { prefix, count, status } of people) {
    const query = `
      with recursive number(n) as (select 1 union all select n + 1 from number where n < @count)
      insert into connections (id, username, name_key, status, generation, failures, connected_at)
      select @prefix || n, @prefix || n, @prefix || n, @status, 1, 0, n from number`
    client.prepare(query).run({ prefix, count, status })
  }
  return client
}

/** Searches as among so many; answers the names that were found, sorted. */
const searcher = (client: Database.Database, filtered = everybody, count = MANY) => {
  const { readPage } = prepareCuts(client)
  const { search } = prepareSearch(createEngine(client), readPage, () => count)
  const cut = { column: 'name', direction: 'asc', after: null, limit: 2000 } as const
  return (text: string) => {
    const { rows, total, ...told } = search(text, filtered, cut)
    t.equal(total, rows.length)
    return { names: rows.map(({ key }) => key), ...told }
  }
}

t.test('a name among many is found by any three of its letters', async (t) => {
  const client = await openDatabaseOf(t, [
    { prefix: 'anna ', count: 2, status: 'active' },
    { prefix: 'joanna ', count: 1, status: 'revoked' },
    { prefix: 'bo "ann" ', count: 1, status: 'active' },
  ])
  const search = searcher(client)
  t.strictSame(search('ann'), {
    names: ['anna 1', 'anna 2', 'bo "ann" 1', 'joanna 1'],
    ...{ crowded: false, partial: false },
  })
  t.strictSame(search('"ann" 1').names, ['bo "ann" 1'], 'a query’s own marks mean themselves')
  t.strictSame(search('nobody').names, [])
  const active = searcher(client, { ...everybody, statuses: [0] })
  t.strictSame(active('oann').names, [])
})

t.test('a whole name is found, however many others contain it', async (t) => {
  const client = await openDatabaseOf(t, [
    { prefix: 'zz anton ', count: 1001, status: 'active' },
    { prefix: 'anton ', count: 1, status: 'active' },
  ])
  const { names, ...told } = searcher(client)('anton')
  t.strictSame(told, { crowded: true, partial: false })
  t.equal(names.length, 1000)
  t.equal(names[0], 'anton 1')
})

t.test('a search that checked only some of the hits says so', async (t) => {
  const client = await openDatabaseOf(t, [
    { prefix: 'zz anton ', count: 5001, status: 'revoked' },
    { prefix: 'anton ', count: 1, status: 'active' },
  ])
  const active = searcher(client, { ...everybody, statuses: [0] })
  t.strictSame(active('anton'), { names: ['anton 1'], crowded: false, partial: true })
})

t.test('few letters: among few rows anywhere, among many at the beginning', async (t) => {
  const client = await openDatabaseOf(t, [
    { prefix: 'an', count: 1, status: 'active' },
    { prefix: 'joan', count: 1, status: 'revoked' },
  ])
  const told = { crowded: false, partial: false }
  const few = searcher(client, everybody, 2)
  t.strictSame(few('an'), { names: ['an1', 'joan1'], ...told })
  t.strictSame(few('o'), { names: ['joan1'], ...told })
  t.strictSame(few("'"), { names: [], ...told })
  t.strictSame(searcher(client)('an'), { names: ['an1'], crowded: false, partial: true })
})

t.test('a short name is found, however many longer ones begin with it', async (t) => {
  const client = await openDatabaseOf(t, [
    { prefix: 'bo', count: 1200, status: 'active' },
    { prefix: 'b', count: 1, status: 'revoked' },
  ])
  const { names, crowded } = searcher(client)('b')
  t.equal(crowded, true)
  t.equal(names[0], 'b1')
})

t.test('a connection that was deleted since its place was read is left out', async (t) => {
  const client = await openDatabaseOf(t, [{ prefix: 'bo', count: 1, status: 'active' }])
  const { readRows } = prepareCuts(client)
  const places = [
    { n: 2, key: 'deleted' },
    { n: 1, key: 'bo1' },
  ]
  t.strictSame(
    readRows(places).map(({ id }) => id),
    ['bo1'],
  )
  t.strictSame(readRows([]), [])
})
