import { writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Client } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import type { ServerState } from '../../db/postgres/server-state.ts'
import { loadConfig } from '../../server/config/config.ts'
import { databaseUrl } from '../../server/config/database-url.ts'
import { checkServer, explainDatabaseError } from '../../server/data/database-error.ts'
import { openEngine } from '../../server/data/engine.ts'
import { inspectServer } from '../../server/data/inspect-server.ts'
import { openAt } from '../db/postgres/temporary.ts'
import { freePort } from '../free-port.ts'
import { testClock } from '../helper.ts'
import { createDatabase, noPostgres, query, sharedCluster, startCluster } from '../postgres.ts'

const skip = noPostgres

/** Opens the engine, as every command does. */
async function open(url: string): Promise<string> {
  const config = loadConfig({ BROKER_DATABASE_URL: url })
  const { place, coordination } = await openEngine(config, testClock())
  await coordination.close()
  return place
}

/** The message of the refusal, without what every message has. */
async function refusal(t: Test, url: string): Promise<string> {
  const withPassword = url.replace('postgres@', 'postgres:hush@')
  const error = await open(withPassword).then(
    () => new Error('it was not refused'),
    (e: Error) => e,
  )
  t.notMatch(String(error.stack) + String(error.cause), 'hush')
  return error.message
}

t.test('a database that can’t be reached is named', { skip }, async (t) => {
  const port = await freePort()
  const text = await refusal(t, `postgres://postgres@127.0.0.1:${port}/broker`)
  t.match(text, `The database 127.0.0.1:${port}/broker can’t be reached: connect ECONNREFUSED`)
  const url = await createDatabase(t)
  t.match(await refusal(t, `${url}?sslmode=require`), /reached: The server does not support SSL/)
  t.equal(await open(url), url.slice('postgres://postgres@'.length))
})

t.test('each reason has its own fix', { skip }, async (t) => {
  const settings = {
    max_connections: '5',
    superuser_reserved_connections: '0',
    max_wal_senders: '0',
  }
  const cluster = await startCluster({ settings })
  t.teardown(() => cluster.stop())
  const url = cluster.urlOf('postgres')
  writeFileSync(
    join(cluster.folder, 'data/pg_hba.conf'),
    `host all guest 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n`,
  )
  await query(url, `create role guest login password 'other'; select pg_reload_conf()`)
  t.match(await refusal(t, `${url}_not`), /no such database.*\n.*create it: CREATE DATABASE/)
  const guest = url.replace('postgres@', 'guest@')
  t.match(
    await open(guest).catch((error: Error) => error.message),
    /refuses the broker’s user: it asks for a password, and none is set/,
  )
  t.match(
    await refusal(t, url.replace('postgres@', 'guest:hush@')),
    /refuses .*: password authentication failed for user "guest".\nCheck user and password/,
  )
  t.match(await refusal(t, url.replace('postgres@', 'none:hush@')), /no pg_hba.conf entry.*\nCheck/)

  const clients = Array.from({ length: 5 }, () => new Client(url))
  for (const client of clients) await client.connect()
  const diagnosis = inspectServer(databaseUrl(url))
  await t.rejects(diagnosis, /no connection to spare: sorry, too many.*\nRaise max_connections/)
  const opening = open(url)
  await setTimeout(300)
  for (const client of clients) await client.end()
  t.match(await opening, '/postgres', 'a start waits for a while')
})

t.test('tables that are missing, or not the broker’s, are named', { skip }, async (t) => {
  const url = await createDatabase(t)
  const store = await openAt(url)
  await store.close()
  t.match(await open(url), /test_\d+/)
  await query(url, 'create role reader login; grant usage, create on schema public to reader')
  const reader = url.replace('postgres@', 'reader@')
  t.match(await refusal(t, reader), /tables .* can’t be used: permission denied for table meta/)
  await query(url, 'grant select on meta to reader')
  t.match(await refusal(t, reader), /can’t be used: missing, or not this user’s: .*connections/)
  await query(url, 'alter table grants rename to former_grants')
  t.match(
    await refusal(t, url),
    /can’t be used: missing, or not this user’s: grants\.\nThe broker’s user/,
  )
  await query(url, 'drop owned by reader; drop role reader')
})

t.test('settings of the server that lose data, and missing rights', { skip }, async (t) => {
  const url = await createDatabase(t)
  const name = new URL(url).pathname.slice(1)
  const { urlOf } = await sharedCluster()
  const alter = (change: string) => query(urlOf('postgres'), `alter database ${name} ${change}`)
  await alter('set default_transaction_read_only = on')
  t.match(await refusal(t, url), /takes no writes/)
  await alter('reset all')
  await alter('set synchronous_commit = off')
  t.match(await refusal(t, url), /ALTER ROLE "postgres" SET synchronous_commit = on/)
  await alter('set synchronous_commit = local')
  t.match(await open(url), name)
  await query(url, 'drop role if exists guest; create role guest login')
  const guest = url.replace('postgres@', 'guest@')
  t.match(await refusal(t, guest), /GRANT USAGE, CREATE ON SCHEMA public TO "guest"/)
  await query(url, 'grant usage, create on schema public to guest')
  t.match(await refusal(t, guest), /CREATE EXTENSION IF NOT EXISTS pg_trgm/)
  await query(url, 'create extension pg_trgm')
  t.match(await open(guest), name)
  await query(url, 'drop owned by guest; drop role guest')
  const error: unknown = await query(url, 'create extension missing').catch((e: unknown) => e)
  t.throws(() => explainDatabaseError('db')(error), /lacks .*"missing" is not available.*contrib/s)
  const old = { version: 130_011, versionText: '13.11' } as ServerState
  t.throws(() => checkServer(old, 'db'), /PostgreSQL 13\.11, and the broker needs 14/)
})

t.test('a pooler is refused', { skip }, async (t) => {
  const url = await createDatabase(t)
  const { port } = await sharedCluster()
  /** As PgBouncer, it tells clients a number of its own with which to cancel a query. */
  const pooler = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    server.on('data', (chunk: Buffer) => {
      const at = chunk.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]))
      if (at >= 0) chunk.writeInt32BE(1, at + 5)
      client.write(chunk)
    })
    client.pipe(server)
    for (const socket of [client, server]) socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve))
  t.teardown(() => pooler.close())
  const { port: own } = pooler.address() as AddressInfo
  t.match(await refusal(t, url.replace(`:${port}/`, `:${own}/`)), /A pooler, such as PgBouncer/)
})

t.test('of several servers, the first that takes writes is used', { skip }, async (t) => {
  const url = await createDatabase(t)
  const { port, urlOf } = await sharedCluster()
  await query(urlOf('postgres'), 'create role follower replication login')
  const standby = await startCluster({
    create: `pg_basebackup --pgdata data --host 127.0.0.1 --port ${port} --username follower \
      --write-recovery-conf --no-sync --checkpoint fast`,
  })
  t.teardown(() => standby.stop())
  const to = (...ports: number[]) =>
    url.replace(`127.0.0.1:${port}`, ports.map((one) => `127.0.0.1:${one}`).join(','))
  t.match(await refusal(t, to(standby.port)), /its server is a standby/)
  const gone = await freePort()
  t.match(await open(to(gone, standby.port, port)), `127.0.0.1:${gone},127.0.0.1:${standby.port}`)
  t.match(await refusal(t, to(standby.port, gone)), /can’t be reached/)
  standby.run('pg_ctl', 'promote', '--pgdata', 'data', '--wait')
  t.match(await open(to(gone, standby.port)), /test_\d+/)
})
