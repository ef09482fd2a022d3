import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { connect, createClientClass } from '../../../db/postgres/connection.ts'
import { createPool } from '../../../db/postgres/pool.ts'
import { createDatabase, noPostgres, query, startCluster } from '../../postgres.ts'
import { statement } from './statements.ts'

t.test(
  'a connection that breaks between two queries fails the next one, and ends no process',
  { skip: noPostgres },
  async (t) => {
    const url = await createDatabase(t)
    const client = new (createClientClass([url]))()
    await client.connect()
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const closed = new Promise((resolve) => client.once('end', resolve))
    await query(url, `select pg_terminate_backend(${rows[0]?.pid})`)
    await closed
    await t.rejects(client.query('select 1'))
  },
)

t.test('the server ends a statement whose client has gone', { skip: noPostgres }, async (t) => {
  const url = await createDatabase(t)
  const ended = async (pid: unknown) => {
    const list = `select 1 from pg_stat_activity where pid = ${Number(pid)}`
    while ((await query(url, list)).length > 0) await setTimeout(50)
  }
  const killed = fork(join(import.meta.dirname, 'sleeper.ts'), [url])
  t.teardown(() => killed.kill('SIGKILL'))
  const [pid] = await once(killed, 'message')
  const asks = `select 1 from pg_stat_activity where pid = ${Number(pid)} and query like '%sleep%'`
  while ((await query(url, asks)).length === 0) await setTimeout(20)
  killed.kill('SIGKILL')
  await ended(pid)

  const client = await connect(createClientClass([url]), { query_timeout: 200 })
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  await t.rejects(client.query('select pg_sleep(3600)'), { cause: /timeout/ })
  await client.end()
  await ended(rows[0]?.pid)
})

t.test('a former primary that nobody turned off', { skip: noPostgres }, async (t) => {
  const former = await startCluster()
  t.teardown(() => former.stop())
  await query(former.urlOf('postgres'), 'create role follower replication login')
  const standby = await startCluster({
    create: `pg_basebackup --pgdata data --host 127.0.0.1 --port ${former.port} --username follower \
      --write-recovery-conf --no-sync --checkpoint fast`,
  })
  t.teardown(() => standby.stop())
  const urls = [former, standby].map((cluster) => cluster.urlOf('postgres'))
  const Client = createClientClass(urls)
  const pool = createPool(Client)
  t.teardown(() => pool.close())
  const portOf = statement('select inet_server_port()')
  const ask = async () => (await pool.read((execute) => execute(portOf))).rows[0]?.[0]
  const connectedTo = async (used = createClientClass(urls)) => {
    const client = await connect(used)
    return client.end().then(() => client.port)
  }
  t.equal(await ask(), former.port)
  t.equal(await connectedTo(), former.port)

  standby.run('pg_ctl', 'promote', '--pgdata', 'data', '--wait')
  t.equal(await connectedTo(), standby.port, 'a process that starts asks all servers')
  // Queries in a loop keep the connection in use; asking all servers ends it.
  while ((await ask()) === former.port) await setTimeout(50)
  t.equal(await ask(), standby.port, 'a process that runs notices, too')

  standby.run('pg_ctl', 'stop', '--pgdata', 'data', '--mode', 'immediate')
  await t.rejects(connectedTo(Client), { cause: /ECONNREFUSED|replaced this primary/ })
  t.equal(await connectedTo(), former.port, 'a process that starts now can’t know')
})
