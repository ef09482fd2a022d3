import t from 'tap'
import type { Test } from 'tap'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPostgresCoordination } from '../../../db/postgres/coordination.ts'
import { createDatabase, noPostgres, query } from '../../postgres.ts'
import { testCoordination } from '../coordination.ts'

const told = { pid: 42, command: 'serve', startedAt: 7, keyIds: [] }

/** A database, and views of it of several processes. */
async function begin(t: Test) {
  const url = await createDatabase(t)
  const open = () => {
    const coordination = createPostgresCoordination(createClientClass([url]))
    t.teardown(() => coordination.close())
    return coordination
  }
  return { url, open, run: (text: string) => query(url, text) }
}

t.test('by PostgreSQL', { skip: noPostgres }, async (t) => {
  const { open } = await begin(t)
  testCoordination(t, open)
})

t.test('a process that is not seen for 30 seconds has died', { skip: noPostgres }, async (t) => {
  const { open, run } = await begin(t)
  const [one, other] = [open(), open()]
  const { id } = await one.withStartLock(() => one.register(told))
  const seen = (ago: string) => run(`update processes set seen_at = now() - interval '${ago}'`)
  await seen('29 seconds')
  t.equal(await other.hasDied(id), false)
  await seen('31 seconds')
  t.equal(await other.hasDied(id), true)
  t.same(await other.listProcesses(), [])
  await seen('-31 seconds')
  t.equal(await other.hasDied(id), true, 'the clock of the database was set back')
  await other.withStartLock(() => other.register(told))
  t.match(await run('select count(*)::int from processes'), [{ count: 1 }], 'who starts removes it')
})

t.test('a process that was paused is seen again', { skip: noPostgres }, async (t) => {
  const { open, run } = await begin(t)
  const [one, other] = [open(), open()]
  const { id, setKeyIds } = await one.withStartLock(() => one.register(told))
  await run('delete from processes')
  t.equal(await other.hasDied(id), true)
  await setKeyIds(['a'])
  t.match(await other.listProcesses(), [{ ...told, id, keyIds: ['a'] }])
})

t.test('a lock ends with its connection, and others go on', { skip: noPostgres }, async (t) => {
  const { open, run } = await begin(t)
  const [one, other] = [open(), open()]
  await one.withLock('rotate', async () => {
    await run(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`)
    t.equal(await other.withLock('rotate', async () => 'taken'), 'taken')
  })
  t.same(await one.withStartLock(async () => one.listProcesses()), [])
})
