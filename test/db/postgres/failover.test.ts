import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { Client } from 'pg'
import { StoreUnavailableError } from '../../../db/errors.ts'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPool } from '../../../db/postgres/pool.ts'
import type { Execute } from '../../../db/postgres/replay.ts'
import { createPostgresStore } from '../../../db/postgres/store.ts'
import { noPostgres, query, startCluster } from '../../postgres.ts'
import { statement } from './statements.ts'
import { openAt } from './temporary.ts'

const add = (execute: Execute) => execute(statement('insert into entries values (default)'))
const count = (execute: Execute) => execute(statement('select count(*) from entries'))

/** A pool on a server of its own. */
async function open(t: Test) {
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  const url = cluster.urlOf('postgres')
  await query(url, 'create table writers (); create table entries (id serial primary key)')
  const pool = createPool(createClientClass([url]))
  t.teardown(() => pool.close().catch(() => undefined))
  const control = (action: string, ...args: string[]) =>
    cluster.run('pg_ctl', action, '--pgdata', 'data', '--log', 'log', '--wait', ...args)
  const entries = async () => (await pool.read(count)).rows[0]?.[0]
  return { cluster, url, pool, control, entries }
}

/** Loads changed settings. The server does so after its answer; connections it has then follow before their next statement. */
async function reload(url: string, name: string, value: string): Promise<void> {
  await query(url, 'select pg_reload_conf()')
  for (;;) {
    const [row] = (await query(url, `select current_setting('${name}') as value`)) as {
      value: string
    }[]
    if (row?.value === value) return
    await setTimeout(10)
  }
}

t.test('failover', { skip: noPostgres, jobs: 2 }, async (t) => {
  t.test('work goes on after a crash of the server, and nothing is repeated', async (t) => {
    const { pool, control, entries } = await open(t)
    let attempts = 0
    await pool.write(async (execute) => {
      await add(execute)
      if (attempts++ === 0) control('restart', '--mode', 'immediate')
      await add(execute)
    })
    t.equal(attempts, 2)
    t.equal(await entries(), 2)
    control('stop', '--mode', 'fast')
    const waiting = Array.from({ length: 20 }, () => pool.write(add))
    await setTimeout(1000)
    // With the options of before.
    control('restart')
    await Promise.all(waiting)
    t.equal(await entries(), 22)
  })

  t.test('a standby is not asked, and a primary that refuses to write is left', async (t) => {
    const { cluster, url, pool, control, entries } = await open(t)
    await pool.write(add)
    const setReadOnly = async (value: 'on' | 'off') => {
      const writable = `${url}?options=-c%20default_transaction_read_only%3Doff`
      await query(writable, `alter system set default_transaction_read_only = ${value}`)
      await reload(url, 'default_transaction_read_only', value)
    }
    await setReadOnly('on')
    const checking = createPostgresStore(pool).checkWritable()
    t.equal(await Promise.race([checking, setTimeout(500, 'waits')]), 'waits')
    const waiting = pool.write(add)
    await setTimeout(500)
    await setReadOnly('off')
    await waiting
    await checking
    t.equal(await entries(), 2)

    const signal = join(cluster.folder, 'data/standby.signal')
    writeFileSync(signal, '')
    control('restart', '--mode', 'fast')
    t.ok(existsSync(signal))
    const reading = entries()
    const writing = pool.write(add)
    t.equal(await Promise.race([reading, writing, setTimeout(1000, 'waits')]), 'waits')
    control('promote')
    await writing
    await reading
    t.equal(await entries(), 3)
    rmSync(signal, { force: true })
  })

  t.test('a commit that no standby has is an unknown outcome', async (t) => {
    const { url, pool } = await open(t)
    await query(url, "alter system set synchronous_standby_names = 'absent'")
    await reload(url, 'synchronous_standby_names', 'absent')
    let attempts = 0
    const writing = pool.write((execute) => {
      attempts++
      return add(execute)
    })
    const cancel = `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`
    const error: Promise<unknown> = writing.then(
      () => 'done',
      (error: unknown) => error,
    )
    while ((await query(url, cancel)).length === 0) await setTimeout(50)
    t.match(await error, { code: 'NOT_REPLICATED' })
    t.ok((await error) instanceof StoreUnavailableError)
    t.equal(attempts, 1)
    const terminate = cancel.replace('cancel', 'terminate')
    const ended = t.rejects(pool.write(add), StoreUnavailableError)
    while ((await query(url, terminate)).length === 0) await setTimeout(50)
    await ended
  })

  t.test('a start waits for a server that has no connection to spare', async (t) => {
    const settings = {
      max_connections: '5',
      superuser_reserved_connections: '0',
      max_wal_senders: '0',
    }
    const cluster = await startCluster({ settings })
    t.teardown(() => cluster.stop())
    const url = cluster.urlOf('postgres')
    const others = Array.from({ length: 5 }, () => new Client(url))
    for (const other of others) await other.connect()
    const opening = openAt(url)
    await setTimeout(500)
    for (const other of others) await other.end()
    const store = await opening
    t.strictSame(await store.listApps(), [])
    await store.close()
  })
})
