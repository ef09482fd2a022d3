import type pg from 'pg'
import type { RunningProcess } from '../coordination.ts'
import { OlderProcessesError, StoreTooNewError } from '../errors.ts'
import type { Store } from '../store.ts'
import { connect } from './connection.ts'
import type { NewClient } from './connection.ts'
import { createPool } from './pool.ts'
import { createPostgresStore } from './store.ts'

/** A change of the tables. */
export interface PostgresMigration {
  name: string
  sql: string
}

/** Held by a start while it migrates; any number that nothing else uses. */
const MIGRATION_LOCK = 7_300_002
/** How long a start waits for a server that starts, too, or has no connection to spare. */
export const START_WAIT_MS = 10_000

interface Options {
  Client: NewClient
  /** Every migration that this program knows, in order. */
  migrations: PostgresMigration[]
  /** The processes that use the store. */
  listProcesses: () => Promise<RunningProcess[]>
}

/**
 * Opens the store of a database, and migrates its tables: under a lock of a connection of its own, which ends with it.
 * @throws StoreTooNewError, OlderProcessesError before anything is changed; errors of pg
 */
export async function openPostgresStore(options: Options): Promise<Store> {
  await migratePostgres(options)
  return createPostgresStore(createPool(options.Client))
}

/** Migrates the tables only, on the same conditions. */
export async function migratePostgres(options: Options): Promise<void> {
  const client = await connect(options.Client, START_WAIT_MS)
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    await migrate(client, options)
  } finally {
    await client.end()
  }
}

async function migrate(client: pg.Client, { migrations, listProcesses }: Options): Promise<void> {
  await client.query(
    `create table if not exists migrations (
      name text primary key, applied_at timestamptz not null default now())`,
  )
  const { rows } = await client.query<{ name: string }>('select name from migrations')
  const applied = rows.map(({ name }) => name)
  const known = migrations.map(({ name }) => name)
  if (!applied.every((name) => known.includes(name)))
    throw new StoreTooNewError(client.database ?? '')
  const pending = migrations.filter(({ name }) => !applied.includes(name))
  if (applied.length > 0 && pending.length > 0) {
    // A process that knew these migrations would have run them when it opened the store.
    const processes = await listProcesses()
    const names = pending.map(({ name }) => name)
    if (processes.length > 0) throw new OlderProcessesError(names, processes)
  }
  for (const { name, sql } of pending) {
    await client.query('begin')
    await client.query(sql)
    await client.query('insert into migrations (name) values ($1)', [name])
    await client.query('commit')
  }
}
