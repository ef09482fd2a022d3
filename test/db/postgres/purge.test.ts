import { Client } from 'pg'
import t from 'tap'
import { noPostgres, query } from '../../postgres.ts'
import { connect, NOW } from '../rows.ts'
import { openTemporary } from './temporary.ts'

/** Rows of the table of sealed values in its file, former versions, too. */
const countStored = async (url: string) => {
  const [row] = await query(
    url,
    `create extension if not exists pageinspect;
     select count(*)::integer as count from generate_series(0, pg_relation_size('sealed') / 8192 - 1) as page,
       heap_page_items(get_raw_page('sealed', page::integer)) where t_data is not null`,
  )
  return (row as { count: number }).count
}

t.test('an erased connection leaves no row of its tokens', { skip: noPostgres }, async (t) => {
  const { store, url } = await openTemporary(t)
  for (const id of ['a', 'b', 'c']) await connect(store, id)
  const rows = await countStored(url)
  await store.revokeConnection({ id: 'b', now: NOW, events: [] })
  t.equal(await countStored(url), rows, 'deleted rows stay until a vacuum')
  t.equal(await store.isErasurePending(), true)
  t.equal(await store.purge({ now: NOW, limit: 10 }), 'done')
  t.equal(await countStored(url), (rows * 2) / 3)
  t.equal((await store.getConnection('b'))?.erasedAt, NOW)
})

t.test(
  'an erasure waits for transactions that began before it',
  { skip: noPostgres },
  async (t) => {
    const { store, url } = await openTemporary(t)
    await connect(store, 'a')
    const reader = new Client(url)
    await reader.connect()
    t.teardown(() => reader.end())
    await reader.query('begin isolation level repeatable read; select 1 from sealed')
    await store.revokeConnection({ id: 'a', now: NOW, events: [] })
    t.equal(await store.purge({ now: NOW, limit: 10 }), 'blocked')
    t.equal(await store.isErasurePending(), true)
    await reader.query('commit')
    t.equal(await store.purge({ now: NOW, limit: 10 }), 'done')
  },
)
