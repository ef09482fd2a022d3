import { createHash } from 'node:crypto'
import type pg from 'pg'
import { StoreOutdatedError, StoreTooNewError } from '../errors.ts'
import type { PostgresMigration } from '../postgres/open.ts'
import { types } from '../postgres/pool.ts'
import { copyIn, copyOut } from './copy-protocol.ts'
import { createIndexes, dropIndexes } from './postgres-indexes.ts'
import { PAGE_ROWS } from './side.ts'
import type { TableHash, TableReader, TableWriter } from './side.ts'
import { MARKS, copiedTables, formatRow, keyOf, selectPage } from './tables.ts'
import type { CopiedTable, Row } from './tables.ts'

interface Options {
  client: pg.Client
  /** For people: without a password. */
  name: string
}

/** Tables that triggers derive from others. */
const DERIVED = ['listing', 'listing_apps', 'listing_names', 'listing_totals']
/** Tables with these triggers. */
const TRIGGERED = ['connections', 'grants', 'listing']

/** A statement over a whole table takes long, and the session is idle while the other side is read. */
const SESSION = `set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
  set idle_session_timeout = 0`
/** For indexes and lists of a whole table, which would be sorted on the disk. */
const MEMORY = `set maintenance_work_mem = '256MB'; set work_mem = '64MB'`

/**
 * Reads the store of a database, in one transaction.
 * @throws StoreTooNewError, StoreOutdatedError
 */
export async function openPostgresReader(
  { client, name }: Options,
  migrations: PostgresMigration[],
): Promise<TableReader> {
  await client.query(SESSION)
  await client.query('begin isolation level repeatable read read only')
  const { rows } = await client.query<{ name: string }>('select name from migrations')
  const applied = rows.map(({ name }) => name)
  const known = migrations.map(({ name }) => name)
  if (!applied.every((name) => known.includes(name))) throw new StoreTooNewError(name)
  if (!known.every((name) => applied.includes(name))) throw new StoreOutdatedError(name)
  return {
    name,
    version: await readVersion(client),
    readMeta: () => readMeta(client),
    pages: (table, after) => pages(client, table, after),
    hashOf: (table) => hash(client, table),

    async lastIds() {
      const ids: Record<string, number> = {}
      for (const { name, identity } of copiedTables)
        if (identity === 'increasing') ids[name] = await lastIdOf(client, name)
      return ids
    },

    async setMoved(moved) {
      await client.query('rollback')
      await setMeta(client, MARKS.moved, moved)
    },

    close: async () => undefined,
  }
}

/** Writes a copy into a database with the tables of this version, without triggers and indexes until it is complete. */
export async function openPostgresWriter({ client, name }: Options): Promise<TableWriter> {
  await client.query(SESSION)
  return {
    name,
    readMeta: () => readMeta(client),
    pages: (table, after) => pages(client, table, after),
    hashOf: (table) => hash(client, table),

    async clear() {
      const names = [...copiedTables.map(({ name }) => name), ...DERIVED]
      await client.query(`truncate ${names.map(quote).join()} restart identity`)
    },

    async setUnfinished(mark) {
      await client.query('begin')
      await setMeta(client, MARKS.unfinished, mark)
      await setTriggers(client, 'disable')
      await dropIndexes(client)
      await client.query('commit')
      // A crash of the server takes the last pages at most, and they are copied again.
      await client.query('set synchronous_commit = off')
    },

    async lastKey(table) {
      const key = table.key.map((column) => `${quote(column)} desc`).join()
      const [row] = await readRows(
        client,
        `select ${table.selected.join()} from ${quote(table.name)} where ${table.where} order by ${key} limit 1`,
        [],
      )
      return row ? keyOf(table, row) : null
    },

    append: (table, rows) =>
      copyIn(
        client,
        `copy ${quote(table.name)} (${table.columns.map(quote).join()}) from stdin`,
        rows.map(formatRow).join(''),
      ),

    async derive(lastIds) {
      await client.query(MEMORY)
      await client.query('begin')
      await client.query(DERIVE)
      await createIndexes(client)
      for (const { name, identity } of copiedTables) {
        if (identity === null) continue
        const last = `greatest($2, (select max(id) from ${quote(name)}))`
        await client.query(
          `select setval(pg_get_serial_sequence($1, 'id'), ${last}) where ${last} > 0`,
          [name, lastIds[name] ?? 0],
        )
      }
      await setTriggers(client, 'enable')
      await client.query('commit')
      await client.query('analyze')
    },

    async complete() {
      await client.query('reset synchronous_commit')
      await client.query('delete from meta where key = $1', [MARKS.unfinished])
    },

    close: async () => undefined,
  }
}

const quote = (name: string): string => `"${name}"`

/** What the triggers would have derived, but all rows at a time: see db/migrations/postgres/0000_initial.sql. */
const DERIVE = `
  truncate ${DERIVED.join()} restart identity;
  insert into listing_names (connection_id, name) select id, name_key from connections
    order by connected_at, id;
  insert into listing_apps (app_id)
    select app_id from grants where revoked_at is null group by app_id order by app_id;
  insert into listing
    select n, 0, listing_status(status, import_state, replaced_by), name_key, connected_at,
      coalesce(last_used_at, 0), coalesce(access_token_expires_at, 0)
    from connections join listing_names on connection_id = id;
  insert into listing
    select distinct listing.n, listing_apps.n, status, listing.name, connected_at, listing.last_used_at,
      access_token_expires_at
    from grants join listing_apps using (app_id) join listing_names using (connection_id)
      join listing on listing.n = listing_names.n and app = 0
    where revoked_at is null;
  insert into listing_totals select app, status, 0, count(*) from listing group by app, status;`

async function setTriggers(client: pg.Client, state: 'enable' | 'disable'): Promise<void> {
  for (const table of TRIGGERED) await client.query(`alter table ${table} ${state} trigger user`)
}

async function readMeta(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ key: string; value: string }>('select key, value from meta')
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}

async function setMeta(client: pg.Client, key: string, value: string): Promise<void> {
  const text = `insert into meta (key, value) values ($1, $2)
    on conflict (key) do update set value = excluded.value`
  await client.query(text, [key, value])
}

async function readRows(client: pg.Client, text: string, values: Row): Promise<Row[]> {
  const query = { text, values, types, rowMode: 'array' as const }
  return (await client.query<Row>(query)).rows
}

async function* pages(client: pg.Client, table: CopiedTable, start: Row | null) {
  for (let after = start; ;) {
    const parameters = (after ?? []).map(
      (value, index) => `$${index + 1}::${typeof value === 'number' ? 'bigint' : 'text'}`,
    )
    const text = `${selectPage(table, parameters)} limit ${PAGE_ROWS}`
    const rows = await readRows(client, text, after ?? [])
    const last = rows.at(-1)
    if (!last) return
    yield rows
    after = keyOf(table, last)
  }
}

async function hash(client: pg.Client, table: CopiedTable): Promise<TableHash> {
  const digest = createHash('sha256')
  const statement = `copy (${selectPage(table, [])}) to stdout`
  const rows = await copyOut(client, statement, (line) => digest.update(line))
  return { rows, hash: digest.digest('hex') }
}

/** Statistics count the rows that were ever written. */
async function readVersion(client: pg.Client): Promise<string> {
  const tables = copiedTables.map(({ name }) => name)
  const { rows } = await client.query<{ writes: string }>(
    `select sum(n_tup_ins + n_tup_upd + n_tup_del)::text as writes from pg_stat_user_tables
     where relname = any($1)`,
    [tables],
  )
  return rows[0]?.writes ?? ''
}

async function lastIdOf(client: pg.Client, table: string): Promise<number> {
  const { rows } = await client.query<{ last: string | null }>(
    `select pg_sequence_last_value(pg_get_serial_sequence($1, 'id')::regclass)::text as last`,
    [table],
  )
  return Number(rows[0]?.last ?? 0)
}

/** Which tables a database has: those of a broker, others, or none. */
export async function inspectPostgres(client: pg.Client): Promise<'store' | 'other' | 'empty'> {
  // Taking a lock creates the table of processes.
  const { rows } = await client.query<{ name: string }>(
    `select tablename as name from pg_tables
     where schemaname = current_schema() and tablename <> 'processes'`,
  )
  if (rows.length === 0) return 'empty'
  return ['migrations', 'meta'].every((name) => rows.some((row) => row.name === name))
    ? 'store'
    : 'other'
}
