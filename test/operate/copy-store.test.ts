import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { Client } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { fill } from '../../bench/scale/fill.ts'
import { PAGE_ROWS } from '../../db/copy/side.ts'
import { copiedTables } from '../../db/copy/tables.ts'
import type { ConnectionQuery, ListedConnection, Store } from '../../db/store.ts'
import { command } from '../command.ts'
import { everybody } from '../db/contract/listing.ts'
import { openAt, openTemporary } from '../db/postgres/temporary.ts'
import { openAt as openSqlite } from '../db/temporary.ts'
import { outputOf } from '../kill.ts'
import { createDatabase, noPostgres, query } from '../postgres.ts'
import { cli, runCli } from '../processes.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'
import { buildHeadless, swapOutcome } from './headless.ts'
import { connectMany } from './load.ts'

const CONNECTIONS = size(PAGE_ROWS + 500, 3 * PAGE_ROWS)

type Rows = unknown[]

/** The rows of a table in either engine, in an order of its own, without leases. */
const SELECT = ({ name, key }: (typeof copiedTables)[number]) =>
  `select * from "${name}" order by ${key.map((column) => `"${column}"`).join()}`

const LEASES = { lease_owner: null, lease_until: null }

function normal(rows: Record<string, unknown>[]): Rows {
  return rows
    .filter(({ key }) => !String(key).startsWith('copy_'))
    .map((row) => ({ ...row, ...('lease_owner' in row && LEASES) }))
}

function sqliteRows(directory: string): Record<string, Rows> {
  const client = new Database(join(directory, 'broker.db'), { readonly: true })
  const entries = copiedTables.map((table) => {
    const rows = client.prepare<[], Record<string, unknown>>(SELECT(table)).all()
    return [table.name, normal(rows)]
  })
  client.close()
  return Object.fromEntries(entries) as Record<string, Rows>
}

async function postgresRows(url: string): Promise<Record<string, Rows>> {
  const found: Record<string, Rows> = {}
  for (const table of copiedTables) {
    const rows = (await query(url, SELECT(table))) as Record<string, unknown>[]
    const numbers = rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asNumber(name, value)])),
    )
    found[table.name] = normal(numbers)
  }
  return found
}

/** pg returns a bigint as a text; texts of digits are in columns of these names only. */
const asNumber = (name: string, value: unknown): unknown =>
  typeof value === 'string' && /^\d+$/.test(value) && name !== 'value' ? Number(value) : value

/** The tables that no trigger derives from others. */
function tablesIn(directory: string): unknown[] {
  const client = new Database(join(directory, 'broker.db'), { readonly: true })
  const tables = client
    .prepare(
      `select name from sqlite_schema where type = 'table' and name not like 'listing%'
      and name not like 'sqlite%' and name <> '__drizzle_migrations' order by name`,
    )
    .pluck()
    .all()
  client.close()
  return tables
}

/** Adds a row to each table that has none, with texts that the formats of a copy have to escape. */
function fillTables(directory: string): void {
  const client = new Database(join(directory, 'broker.db'))
  client.pragma('foreign_keys = ON')
  for (const { name, columns, key } of copiedTables) {
    const count = client.prepare(`select count(*) from "${name}"`).pluck().get()
    if (count !== 0) continue
    const kinds = client.prepare('select name, type from pragma_table_info(?)').raw().all(name)
    const types = Object.fromEntries(
      (kinds as [string, string][]).map(([name, type]) => [name, type.toLowerCase()]),
    )
    const parents = client
      .prepare('select "from", "table", "to" from pragma_foreign_key_list(?)')
      .raw()
      .all(name) as [string, string, string | null][]
    const values = columns.map((column) => {
      const parent = parents.find(([from]) => from === column)
      if (parent?.[1] === 'sealed')
        return client
          .prepare('insert into sealed (size, free, bytes) values (4, 0, zeroblob(4))')
          .run().lastInsertRowid
      if (parent)
        return client
          .prepare(`select "${parent[2] ?? 'id'}" from "${parent[1]}" limit 1`)
          .pluck()
          .get()
      if (types[column] === 'blob') return Buffer.from([0, 1, 92, 255])
      if (types[column] === 'integer') return key.includes(column) ? 1 : 7
      return `${column}\t\n\r\b\f\v\\ \\N \\. 'ü🗺' "`
    })
    client
      .prepare(
        `insert into "${name}" ("${columns.join('","')}") values (${columns.map(() => '?').join()})`,
      )
      .run(values)
  }
  client.close()
}

/** Indexes, constraints, and enabled triggers. The table of processes is created by the first one. */
const definitionsOf = (url: string) =>
  query(
    url,
    `select pg_get_indexdef(indexrelid) as text from pg_index join pg_class on oid = indexrelid
       where relnamespace = 'public'::regnamespace
     union all select conrelid::regclass || conname || pg_get_constraintdef(oid) from pg_constraint
       where connamespace = 'public'::regnamespace
     union all select pg_get_triggerdef(oid) from pg_trigger where tgenabled = 'O' and not tgisinternal
     order by text`,
  ).then((rows) => rows.filter((row) => !/\bprocesses/.test((row as { text: string }).text)))

/** For tables that are too large to compare row by row. */
const digests = (tables: Record<string, Rows>) =>
  Object.entries(tables).map(([name, rows]) => {
    const digest = createHash('sha256')
    for (const row of rows) digest.update(JSON.stringify(row))
    return [name, rows.length, digest.digest('hex')]
  })

const hashOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

async function setUp(t: Test, connections = 3) {
  const setup = await buildHeadless(t)
  const broker = await setup.start()
  const devices = await connectMany(broker, connections)
  return { ...setup, broker, devices, url: await createDatabase(t) }
}

t.test('the store moves to PostgreSQL and back', { skip: noPostgres }, async (t) => {
  const setup = await setUp(t)
  const { dataDir, env, url, broker } = setup
  await broker.stop()
  fillTables(dataDir)
  const client = new Database(join(dataDir, 'broker.db'))
  client.exec(`update connections set lease_owner = 'gone', lease_until = 5 where id = 'con_2';
    insert into events (id, at, actor, action) values (900, 1, 'a', 'b'); delete from events where id = 900;
    update meta set value = value where key = 'store_id'; pragma wal_checkpoint(truncate)`)
  client.close()
  const before = sqliteRows(dataDir)
  for (const [name, rows] of Object.entries(before)) t.ok(rows.length > 0, `${name} has rows`)
  const names = copiedTables.map(({ name }) => name).sort()
  t.strictSame(names, tablesIn(dataDir), 'no table is forgotten')

  const to = await command(['store', 'copy', '--to', url], env)
  t.equal(to.code, 0, to.stderr)
  t.match(to.stdout, /Both sides have the same rows/)
  t.notMatch(to.stdout + to.stderr, 'postgres@', 'no user or password is printed')
  const copied = await postgresRows(url)
  ;(before.connections?.[2] as { stale_reason: string }).stale_reason = 'answer_lost'
  t.strictSame(copied, before)
  const own = ['migrations', 'processes', 'writers']
  const inCopy = (await query(
    url,
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
       and relname not like 'listing%' and relname <> all('{${own.join()}}')`,
  )) as { name: string }[]
  t.strictSame(inCopy.map(({ name }) => name).sort(), names)
  const { store, url: other } = await openTemporary(t)
  await store.close()
  t.strictSame(await definitionsOf(url), await definitionsOf(other), 'it has all indexes')
  t.strictSame(sqliteRows(dataDir).events, before.events, 'the source is as it was')

  t.test('the copy is a store', async (t) => {
    const store = await openAt(url)
    t.teardown(() => store.close())
    t.equal((await store.listApps()).length, 1)
    const off = "select tgname from pg_trigger where tgenabled = 'D'"
    t.strictSame(await query(url, off), [], 'no trigger is off')
    const added = await query(
      url,
      "insert into events (at, actor, action) values (1, 'a', 'b') returning id",
    )
    t.strictSame(added, [{ id: '901' }], 'no id of an event is given twice')
    await query(url, "delete from events where actor = 'a' and action = 'b' and id = 901")
  })

  t.test('the former store is not served', async (t) => {
    t.match(await command(['app', 'list'], env), {
      code: 2,
      stderr: /was copied to postgres:.*take-back/s,
    })
    await t.rejects(setup.start(), { name: 'StartError' })
    t.match(await command(['store', 'copy', '--to', url], env), {
      code: 0,
      stdout: /before, completely/,
    })
    const other = await createDatabase(t)
    t.match(await command(['store', 'copy', '--to', other], env), {
      code: 2,
      stderr: /is served from there/,
    })
  })

  t.test('back', async (t) => {
    const back = temporaryFolder(t)
    const env2 = { ...env, BROKER_DATA_DIR: back }
    t.match(await command(['store', 'copy', '--from', url], env2), {
      code: 2,
      stderr: /key that is missing/,
    })
    copyFileSync(join(dataDir, 'secret.key'), join(back, 'secret.key'))
    const from = await command(['store', 'copy', '--from', url], env2)
    t.equal(from.code, 0, from.stderr)
    t.strictSame(sqliteRows(back), before)
    const client = new Database(join(back, 'broker.db'))
    const given = client.prepare("select seq from sqlite_sequence where name = 'events'").pluck()
    t.equal(given.get(), 901, 'no id of an event is given twice')
    client.close()
    t.match(await command(['store', 'copy', '--from', url], env), { code: 2 }, 'only one is served')
    t.match(await command(['connection', 'list', '--json'], env2), { code: 0, stdout: /con_2/ })
  })
})

/** How many tables an unfinished copy has found to be the same as in the source. */
async function checkedIn(url: string): Promise<number> {
  const rows = await query(url, "select value from meta where key = 'copy_unfinished'")
  const [{ value } = { value: '{}' }] = rows as { value: string }[]
  const { checked } = JSON.parse(value) as { checked: Record<string, number> }
  return Object.keys(checked).length
}

/** Stops the copy where it needs what a transaction has locked. */
async function createBlocker(t: Test, url: string) {
  const clients = [new Client(url), new Client(url), new Client(url)] as const
  for (const client of clients) await client.connect()
  t.teardown(() => Promise.all(clients.map((client) => client.end())))
  const [one, other, observer] = clients
  const pids: number[] = []
  for (const client of clients)
    pids.push(
      (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0,
    )
  return {
    /** Waits until the copy is stopped at the last of the statements. */
    async stopAt(statements: string[], hasEnded: () => boolean) {
      for (const [index, statement] of statements.entries()) {
        const [own, former] = index % 2 === 0 ? [one, other] : [other, one]
        await own.query(`begin; ${statement}`)
        await former.query('rollback')
        for (;;) {
          const { rows } = await observer.query(
            `select from pg_stat_activity where application_name = 'ellipsis-broker'
               and wait_event_type = 'Lock' and ${own === one ? pids[0] : pids[1]}
               = any(pg_blocking_pids(pid))`,
          )
          if (rows.length > 0 || hasEnded()) break
          await sleep(20)
        }
      }
    },
    continue: () => one.query('rollback'),
    /** Ends what the copy has begun in the database, too: a server completes what it has received. */
    async release() {
      await observer.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'ellipsis-broker' and wait_event_type = 'Lock'`)
      await Promise.all([one.query('rollback'), other.query('rollback')])
    },
  }
}

/** What the tables show that are derived. */
async function viewsOf(store: Store): Promise<unknown> {
  const [, app] = await store.listApps()
  const queries: Partial<ConnectionQuery>[] = [
    { sort: 'user' },
    { sort: 'connected', descending: true },
    { search: 'bos' },
    { appId: app?.id ?? '', statuses: ['needs_reconnect'] },
  ]
  const browse = (query: Partial<ConnectionQuery>) =>
    store.browseConnections({ ...everybody, ...query, limit: 50 })
  const pages = await Promise.all(queries.map(browse))
  const byApp = [...(await store.countConnectionsByApp())].sort()
  const used = await browse({ sort: 'used', descending: true })
  const ids = pages.map(({ rows }) => rows.map(({ id }) => id))
  return [await store.countConnections(), byApp, ids, withoutTies(used.rows)]
}

/** What was used at the same time is in any order, and the last of it may continue on the next page. */
function withoutTies(rows: ListedConnection[]): unknown {
  const groups = [...Map.groupBy(rows, ({ lastUsedAt }) => lastUsedAt)]
  return groups.map(([at, rows], index) => [
    at,
    index < groups.length - 1 ? rows.map(({ id }) => id).sort() : rows.length,
  ])
}

t.test('a copy that is killed at any point is continued', { skip: noPostgres }, async (t) => {
  const setup = await setUp(t)
  const { dataDir, env, devices, broker } = setup
  await fill(broker.services, CONNECTIONS)
  await broker.services.connections.revoke('con_1', 'test')
  await broker.stop()
  const { store, url } = await openTemporary(t)
  await store.close()
  const client = new Database(join(dataDir, 'broker.db'))
  const middle = client.prepare('select id from connections order by id limit 1 offset ?')
  const id = middle.pluck().get(PAGE_ROWS + 10) as string
  client.close()
  const file = join(dataDir, 'broker.db')
  const hash = hashOf(file)
  const blocker = await createBlocker(t, url)

  const share = (table: string) => `lock table ${table} in share mode`
  const all = (table: string) => `lock table ${table} in access exclusive mode`
  const lists = 'lock table listing in access share mode'
  const points: Record<string, string[]> = {
    'it begins': [share('meta')],
    'sealed values': [share('sealed')],
    'the middle of a table': [
      share('apps'),
      `insert into connections (id, username, status, generation, failures, connected_at)
       values ('${id}', '', '', 1, 0, 0)`,
    ],
    events: [share('events')],
    'signing keys': [share('signing_keys')],
    'the last table': [all('webhooks')],
    'the check begins': [all('webhooks'), all('sealed')],
    'the check of events': [all('webhooks'), all('events')],
    'the lists are derived': [lists],
    'the source is marked': [lists, "select from meta where key = 'copy_unfinished' for update"],
  }
  const names = Object.keys(points)
  const chosen =
    size(1, 0) === 1 ? ['the middle of a table', 'the check begins', 'the source is marked'] : names
  const rowsOf = async (table: string) =>
    Number(((await query(url, `select count(*) as n from ${table}`)) as { n: string }[])[0]?.n)
  for (const name of chosen) {
    const child = runCli(['store', 'copy', '--to', url], env)
    const output = outputOf(child)
    let ended = false
    const closed = once(child, 'close').then((result) => ((ended = true), result))
    await blocker.stopAt(points[name] ?? [], () => ended)
    t.notOk(ended, `stopped: ${name}; ${output()}`)
    child.kill('SIGKILL')
    await closed
    await blocker.release()
    const isMarked = name === 'the source is marked'
    if (name !== names[0]) {
      const served = await command(['app', 'list'], { ...env, BROKER_DATABASE_URL: url })
      t.match(
        served,
        { code: 2, stderr: /is an unfinished copy/ },
        `the copy is not served: ${name}`,
      )
    }
    if (name === 'the middle of a table') t.equal(await rowsOf('connections'), PAGE_ROWS)
    if (isMarked) t.equal(await checkedIn(url), copiedTables.length, 'no table is checked again')
    if (isMarked) t.match(await command(['app', 'list'], env), { code: 2, stderr: /was copied to/ })
    else t.equal(hashOf(file), hash, `the source is untouched: ${name}`)
  }

  const done = await command(['store', 'copy', '--to', url], env)
  t.match(done, { code: 0, stdout: /: 0 rows now/, stderr: /Continuing/ }, done.stderr)
  t.strictSame(digests(await postgresRows(url)), digests(sqliteRows(dataDir)))

  const [copy, original] = [await openAt(url), await openSqlite(dataDir)]
  t.strictSame(await viewsOf(copy), await viewsOf(original), 'the lists are derived')
  await copy.close()
  await original.close()

  const onPostgres = await setup.start({ BROKER_DATABASE_URL: url })
  t.equal(await swapOutcome(onPostgres, devices[0]?.token ?? '', 9999), 'ok', 'with a refresh')
  t.equal(await swapOutcome(onPostgres, devices[1]?.token ?? ''), 'connection_revoked')
  await onPostgres.services.connections.revoke('con_2', 'test')
  const inUse = await command(['store', 'copy', '--from', url], env)
  t.match(inUse, { code: 1, stderr: /in use by/ })
  await onPostgres.stop()

  const back = await command(['store', 'copy', '--from', url], env)
  t.equal(back.code, 0, back.stderr)
  const restarted = await setup.start()
  t.equal(await swapOutcome(restarted, devices[2]?.token ?? ''), 'connection_revoked')
  t.equal(await swapOutcome(restarted, devices[0]?.token ?? ''), 'ok')
  t.equal(await swapOutcome(restarted, devices[1]?.token ?? ''), 'connection_revoked')
  await restarted.stop()
})

t.test('refusals', { skip: noPostgres }, async (t) => {
  const { dataDir, env, url, broker } = await setUp(t, 1)
  const copy = (to: string, more = {}) =>
    command(['store', 'copy', '--to', to], { ...env, ...more })
  t.match(await copy(url), { code: 1, stderr: /in use by/ }, 'a broker runs')
  await broker.stop()
  t.match(await command(['store', 'copy'], env), { code: 2, stderr: /either --to/ })
  t.match(await copy('mysql://a/b'), { code: 2, stderr: /The URL is not of the form/ })
  const unreachable = await copy('postgres://a:sesame@127.0.0.1:1/b')
  t.match(unreachable, { code: 2, stderr: /127.0.0.1:1\/b can’t be reached/ })
  t.notMatch(unreachable.stderr, 'sesame')
  t.match(await command(['store', 'copy', '--from', url], env), { code: 2, stderr: /no store/ })
  const foreign = await createDatabase(t)
  await query(foreign, 'create table others (id int)')
  t.match(await copy(foreign), { code: 2, stderr: /is not empty/ })
  t.strictSame(
    await query(
      foreign,
      "select tablename from pg_tables where schemaname = 'public' and tablename <> 'processes'",
    ),
    [{ tablename: 'others' }],
  )

  const fresh = await migrated(await createDatabase(t))
  await query(fresh, "insert into usage values ('', 0, 'swap', 'ok', 1)")
  t.match(await copy(fresh), { code: 2, stderr: /is not empty/ }, 'rows without a store')

  const blocker = await createBlocker(t, await migrated(url))
  const copying = cli(['store', 'copy', '--to', url], env)
  await blocker.stopAt(['lock table signing_keys in share mode'], () => false)
  await blocker.release()
  t.match(await copying, { code: 1, stderr: /can’t be used: .*continues/s }, 'the server stops')
  const other = await setUp(t, 1)
  await other.broker.stop()
  t.match(
    await command(['store', 'copy', '--to', url], other.env),
    { code: 2, stderr: /is not empty/ },
    'a copy of another store',
  )
  t.match(
    await command(['store', 'copy', '--from', url], {
      ...env,
      BROKER_DATA_DIR: temporaryFolder(t),
    }),
    { code: 2, stderr: /unfinished copy itself/ },
  )

  const app = ['app', 'add', 'Later', '--redirect-uri', 'https://later.example/']
  t.match(await command(app, env), { code: 0 }, 'the store can be used meanwhile')
  t.match(await copy(url), { code: 0, stderr: /has changed since the copy began/ })
  t.strictSame(await postgresRows(url), sqliteRows(dataDir), 'with the change')

  t.match(await command(['store', 'take-back'], env), {
    code: 0,
    stdout: /can be served again.*users must connect again/s,
  })
  t.match(await command(['app', 'list'], env), { code: 0, stdout: /Later/ })
  t.match(
    await copy(url),
    { code: 2, stderr: /is not empty/ },
    'the copy is a store of its own now',
  )
  t.match(await command(['store', 'take-back'], env), { code: 0, stdout: /Nothing has changed/ })
})

t.test('a copy that differs is not served', { skip: noPostgres }, async (t) => {
  const { dataDir, env, url, broker } = await setUp(t, 1)
  await broker.stop()
  const blocker = await createBlocker(t, await migrated(url))
  const copying = cli(['store', 'copy', '--to', url], env)
  await blocker.stopAt(['lock table signing_keys in share mode'], () => false)
  await query(url, "update apps set name = 'Other'")
  await blocker.continue()
  t.match(await copying, { code: 1, stderr: /table apps differs/ })
  t.match(await command(['store', 'copy', '--to', url], env), { code: 0, stderr: /starting again/ })
  t.strictSame(await postgresRows(url), sqliteRows(dataDir))
})

t.test('a copy that the keys do not open is not served', { skip: noPostgres }, async (t) => {
  const { dataDir, env, url, broker } = await setUp(t, 1)
  await broker.stop()
  const client = new Database(join(dataDir, 'broker.db'))
  // The end is the authentication tag.
  client.exec(
    `update sealed set bytes = cast(substr(bytes, 1, length(bytes) - 4) || 'xxxx' as blob)`,
  )
  client.close()
  const copying = await command(['store', 'copy', '--to', url], env)
  t.match(copying, { code: 2, stderr: /key that is missing/ })
  t.match(await command(['app', 'list'], env), { code: 0 }, 'the store is served')
})

/** Creates the tables. @returns the URL */
async function migrated(url: string): Promise<string> {
  await (await openAt(url)).close()
  return url
}
