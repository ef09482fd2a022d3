import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Client } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { createClientClass } from '../../db/postgres/connection.ts'
import { createPostgresCoordination } from '../../db/postgres/coordination.ts'
import type { Upgrade } from '../../db/upgrade.ts'
import { openPostgresStore } from '../../db/postgres/open.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import { readPostgresMigrations } from '../../server/assets.ts'
import { loadConfig } from '../../server/config/config.ts'
import { databaseUrl } from '../../server/config/database-url.ts'
import { checkServer, explainDatabaseError } from '../../server/data/database-error.ts'
import { openCoordination, openEngine } from '../../server/data/engine.ts'
import { inspectServer } from '../../server/data/inspect-server.ts'
import { databaseChecks } from '../../server/operate/doctor/database-checks.ts'
import { runtime } from '../../server/runtime.ts'
import { Secret } from '../../server/secret.ts'
import { openAt } from '../db/postgres/temporary.ts'
import { freePort } from '../free-port.ts'
import { buildBroker, testClock } from '../helper.ts'
import {
  createDatabase,
  noPostgres,
  query,
  serverUser,
  sharedCluster,
  startCluster,
} from '../postgres.ts'
import { temporaryFolder } from '../temporary.ts'

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
  t.equal(await open(url), url.slice('postgres://postgres@'.length))
})

t.test('TLS to the database', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const file = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const create = (name: string, subject: string, ...more: string[]) => {
    const files = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)]
    openssl('req', '-x509', ...newKey, ...files, '-subj', `/CN=${subject}`, ...more)
  }
  create('ca', 'Private CA')
  create('other', 'Another CA')
  const issued = ['-CA', file('ca.crt'), '-CAkey', file('ca.key')]
  create('server', 'db', ...issued, '-addext', 'subjectAltName=DNS:localhost')
  if (process.getuid?.() === 0) {
    const { uid, gid } = serverUser()
    chownSync(file('server.key'), uid, gid)
    chmodSync(folder, 0o711)
  }
  const cluster = await startCluster({
    settings: { ssl: 'on', ssl_cert_file: file('server.crt'), ssl_key_file: file('server.key') },
  })
  t.teardown(() => cluster.stop())
  const to = (host: string, mode: string, ca?: string) =>
    `postgres://postgres@${host}:${cluster.port}/postgres?sslmode=${mode}${ca ? `&sslrootcert=${file(ca)}` : ''}`
  const trusted = to('localhost', 'verify-full', 'ca.crt')
  t.equal(await open(trusted), `localhost:${cluster.port}/postgres`)
  const config = loadConfig({ BROKER_DATABASE_URL: trusted })
  const found = databaseChecks['connection to the database']?.({ ...config, runtime })
  t.match(await found, { status: 'ok', finding: 'encrypted' })
  t.ok(await open(to('127.0.0.1', 'verify-ca', 'ca.crt')), 'whatever its name')
  t.ok(await open(to('127.0.0.1', 'require')), 'whoever issued it')

  const untrusted = /is not trusted: .*\.\nSet sslrootcert/
  t.match(await refusal(t, to('localhost', 'verify-full', 'other.crt')), untrusted)
  t.match(await refusal(t, to('localhost', 'verify-full')), untrusted)
  t.match(await refusal(t, to('localhost', 'verify-ca', 'other.crt')), untrusted)
  const otherName = await refusal(t, to('127.0.0.1', 'verify-full', 'ca.crt'))
  t.match(otherName, /not trusted: .*altnames.* name the host as the certificate names it/s)
  const unreadable = /for TLS can’t be read: .*\nSet sslrootcert to the PEM file/
  t.match(await refusal(t, to('localhost', 'verify-full', 'none.crt')), unreadable)
  const plain = `${await createDatabase(t)}?sslmode=require`
  t.match(await refusal(t, plain), /offers no TLS.*\nSet ssl = on, ssl_cert_file and ssl_key_file/)
})

t.test('an upgrade of the tables waits until older processes have stopped', { skip }, async (t) => {
  const url = await createDatabase(t)
  const env = { BROKER_DATABASE_URL: url }
  let stop: () => unknown = () => undefined
  t.teardown(() => stop())
  const teardown = (work: () => unknown) => void (stop = work)
  await buildBroker({ teardown }, { dataDir: temporaryFolder(t), env })
  const next = { name: '0001_next', sql: 'create table next ()' }
  const Client = createClientClass([url])
  const coordination = createPostgresCoordination(Client)
  t.teardown(() => coordination.close())
  const upgrades: Upgrade[] = []
  const upgrade = () =>
    openPostgresStore({
      Client,
      onUpgrade: (upgrade) => upgrades.push(upgrade),
      migrations: [...readPostgresMigrations(), next],
      listProcesses: () => coordination.listProcesses(),
    }).then((store) => store.close(), explainDatabaseError('db.example.com/broker'))
  await t.rejects(upgrade(), {
    name: 'StartError',
    message: /database in db\.example\.com\/broker \(0001_next\), .*: \d+ \(serve\)/,
  })
  t.strictSame(await query(url, `select to_regclass('next') as next`), [{ next: null }])
  await stop()
  await upgrade()
  await upgrade()
  t.strictSame(upgrades, [{ migrations: ['0001_next'], copy: null }])
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

t.test(
  'a start goes on with the server that takes writes, wherever it is listed',
  { skip },
  async (t) => {
    const [standby, primary] = [await createDatabase(t), await createDatabase(t)]
    const { urlOf } = await sharedCluster()
    const name = new URL(standby).pathname.slice(1)
    await query(urlOf('postgres'), `alter database ${name} set default_transaction_read_only = on`)
    const database = {
      urls: [standby, primary].map((url) => new Secret(url)),
      address: 'two servers',
    }
    const config = { database: { ...database, isLocal: true }, dataDir: '', nativeDir: null }
    const { coordination, open, hasStore } = await openEngine(config, testClock())
    t.teardown(() => coordination.close())
    t.equal(await hasStore(), false)
    const store = await coordination.withStartLock(() => open(undefined))
    await store.close()
    const others = await openCoordination(config)
    t.teardown(() => others.close())
    t.same(await others.listProcesses(), [])
  },
)
