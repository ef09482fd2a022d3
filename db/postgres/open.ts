import type pg from 'pg'
import type { RunningProcess } from '../coordination.ts'
import { OlderProcessesError, StoreTooNewError } from '../errors.ts'
import type { Store } from '../store.ts'
import type { Upgrade } from '../upgrade.ts'
import { connect } from './connection.ts'
import type { NewClient } from './connection.ts'
import { codeOf, NO_TABLE } from './failures.ts'
import { createPool } from './pool.ts'
import { createPostgresStore } from './store.ts'

/** A change of the tables. */
export interface PostgresMigration {
  name: string
  sql: string
}

/** Held by a start while it migrates; any number that nothing else uses. */
const MIGRATION_LOCK = 7_300_002
const MIGRATION_TIMEOUT_MS = 3_600_000
/** How long a start waits for a server that starts, too, or has no connection to spare. */
export const START_WAIT_MS = 10_000

interface Options {
  Client: NewClient
  /** Every migration that this program knows, in order. */
  migrations: PostgresMigration[]
  /** The processes that use the store. */
  listProcesses: () => Promise<RunningProcess[]>
  /** Called after an existing store was migrated. */
  onUpgrade?: ((upgrade: Upgrade) => void) | undefined
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
  const client = await connect(options.Client, { waitMs: START_WAIT_MS })
  try {
    if ((await findPending(client, options)).length === 0) return
    await client.query(long('select pg_advisory_lock($1)', [MIGRATION_LOCK]))
    await migrate(client, options)
  } finally {
    await client.end()
  }
}

/** A statement that takes as long as tables are large. */
const long = (text: string, values: unknown[] = []) =>
  ({ text, values, query_timeout: MIGRATION_TIMEOUT_MS }) as pg.QueryConfig

async function migrate(client: pg.Client, options: Options): Promise<void> {
  await client.query(
    `create table if not exists migrations (
      name text primary key, applied_at timestamptz not null default now())`,
  )
  const pending = await findPending(client, options)
  const names = pending.map(({ name }) => name)
  const isUpgrade = pending.length > 0 && pending.length < options.migrations.length
  if (isUpgrade) {
    // A process that knew these migrations would have run them when it opened the store.
    const processes = await options.listProcesses()
    if (processes.length > 0) throw new OlderProcessesError(names, processes)
  }
  for (const { name, sql } of pending) {
    await client.query('begin')
    await client.query(long(sql))
    await client.query('insert into migrations (name) values ($1)', [name])
    await client.query('commit')
  }
  if (isUpgrade) options.onUpgrade?.({ migrations: names, copy: null })
}

/** The migrations that were not applied. @throws StoreTooNewError if an unknown one was */
async function findPending(client: pg.Client, { migrations }: Options) {
  const list = 'select name from migrations'
  const { rows } = await client.query<{ name: string }>(list).catch((error: unknown) => {
    if (codeOf(error) === NO_TABLE) return { rows: [] }
    throw error
  })
  const applied = rows.map(({ name }) => name)
  if (!applied.every((name) => migrations.some((known) => known.name === name)))
    throw new StoreTooNewError(client.database ?? '')
  return migrations.filter(({ name }) => !applied.includes(name))
}
