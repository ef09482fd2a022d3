import { existsSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createDatabase, noPostgres, query, sharedCluster, startCluster } from './postgres.ts'

t.test('each test has a database of its own', { skip: noPostgres }, async (t) => {
  const [one, other] = [await createDatabase(t), await createDatabase(t)]
  await query(one, 'create table entries (id int)')
  await t.rejects(query(other, 'select * from entries'), /does not exist/)
  const copy = await createDatabase(t, new URL(one).pathname.slice(1))
  t.same(await query(copy, 'select * from entries'), [])
  const sorted = await query(
    one,
    `select string_agg(w, '' order by w) from unnest('{a,B}'::text[]) w`,
  )
  t.same(sorted, [{ string_agg: 'aB' }], 'texts are sorted by a language')
})

t.test('a cluster is removed when it is stopped', { skip: noPostgres }, async (t) => {
  const cluster = await startCluster({ settings: { work_mem: '5MB' } })
  t.same(await query(cluster.urlOf('postgres'), 'show work_mem'), [{ work_mem: '5MB' }])
  t.match(cluster.run('pg_controldata', 'data'), /in production/)
  cluster.stop()
  while (existsSync(cluster.folder)) await setTimeout(20)
  await t.rejects(query(cluster.urlOf('postgres'), 'select 1'), { code: 'ECONNREFUSED' })
  await t.rejects(startCluster({ settings: { work_mem: 'much' } }), /invalid value for parameter/)
  t.ok(existsSync((await sharedCluster()).folder))
})
