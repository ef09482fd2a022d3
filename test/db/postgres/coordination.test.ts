import { spawnSync } from 'node:child_process'
import t from 'tap'
import type { Test } from 'tap'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPostgresCoordination } from '../../../db/postgres/coordination.ts'
import { createDatabase, noPostgres, query } from '../../postgres.ts'
import { testCoordination } from '../coordination.ts'

const told = { pid: process.pid, command: 'serve', startedAt: 7, keyIds: [] }

/** A database, and views of it of several processes. */
async function begin(t: Test) {
  const url = await createDatabase(t)
  let now = 0
  const open = () => {
    const coordination = createPostgresCoordination(createClientClass([url]), () => now)
    t.teardown(() => coordination.close())
    return coordination
  }
  const pass = (milliseconds: number) => (now += milliseconds)
  return { url, open, pass, run: (text: string) => query(url, text) }
}

t.test('by PostgreSQL', { skip: noPostgres }, async (t) => {
  const { open } = await begin(t)
  testCoordination(t, open)
})

t.test('a process that is silent for two minutes has died', { skip: noPostgres }, async (t) => {
  const { open, run, pass } = await begin(t)
  const [one, other] = [open(), open()]
  const { id, setKeyIds } = await one.withStartLock(() => one.register(told))
  const look = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 5) {
      pass(5000)
      await other.hasDied(id)
    }
    return other.hasDied(id)
  }
  t.equal(await look(0), false)
  t.equal(await look(115), false)
  t.equal(await look(5), true)
  await setKeyIds([])
  t.equal(await look(0), false, 'it was only paused')
  t.equal(await look(115), false)
  await run("update processes set seen_at = now() + interval '3 hours'")
  t.equal(await look(0), false, 'another server with another clock')
  pass(60_000)
  t.equal(await look(0), false, 'nobody could look, so nobody may have been able to write')
  t.equal(await look(115), false)
  t.equal(await look(5), true)
})

t.test('a lease is held from the last heartbeat on', { skip: noPostgres }, async (t) => {
  const { open, pass } = await begin(t)
  const [one, other] = [open(), open()]
  const { id, setKeyIds } = await one.withStartLock(() => one.register(told))
  t.equal(await other.hasDied(id), false)
  t.equal(one.holdMs(), 105_000)
  pass(100_000)
  t.equal(one.holdMs(), 5000, 'a lease that is written now does not last longer')
  pass(20_000)
  t.ok(one.holdMs() < 0)
  await setKeyIds([])
  t.equal(one.holdMs(), 105_000)
  t.ok(other.holdMs() < 0, 'a process that is not registered holds none')
})

t.test('lists leave out processes that are not seen', { skip: noPostgres }, async (t) => {
  const { open, run } = await begin(t)
  const one = open()
  const { id } = await one.withStartLock(() => one.register(told))
  await run("update processes set seen_at = now() - interval '119 seconds'")
  t.match(await one.listProcesses(), [{ id }])
  for (const ago of ['121 seconds', '-121 seconds']) {
    await run(`update processes set seen_at = now() - interval '${ago}'`)
    t.same(await one.listProcesses(), [], ago)
  }
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

t.test(
  'a start knows which processes of its machine have died',
  { skip: noPostgres },
  async (t) => {
    const { open, run } = await begin(t)
    const [one, other] = [open(), open()]
    const { pid: deadPid } = spawnSync('true')
    const alive = await one.withStartLock(() => one.register({ ...told, pid: process.ppid }))
    const elsewhere = await one.withStartLock(() => one.register({ ...told, pid: deadPid }))
    await run(`update processes set machine = 'another' where id = '${elsewhere.id}'`)
    const dead = await one.withStartLock(() => one.register({ ...told, pid: deadPid }))
    t.equal(await other.hasDied(dead.id), false)
    const listed = (await other.listProcesses()).map(({ id }) => id)
    t.same(new Set(listed), new Set([alive.id, elsewhere.id]))
    await other.withStartLock(() => other.register(told))
    t.equal(await other.hasDied(dead.id), true)
    t.equal(await other.hasDied(alive.id), false)
    t.equal(await other.hasDied(elsewhere.id), false, 'its heartbeats decide')
  },
)
