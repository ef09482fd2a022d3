import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { MigrationMeta } from 'drizzle-orm/migrator'
import { createSqliteStore } from './sqlite.ts'
import { retryBusy } from './sqlite/engine.ts'
import type { Store } from './store.ts'

/** Longest that a statement may block the event loop for another process, milliseconds. */
const BUSY_TIMEOUT = 20
/** How long a start waits for another one, milliseconds. */
const START_PATIENCE = 60_000

/** The database was written by a newer version of the program. */
export class StoreTooNewError extends Error {
  override name = 'StoreTooNewError'
}

/**
 * Runs `work` while no other process does so on this directory: what a first start makes, it makes once.
 * The lock is a transaction on `start.lock`, so the system frees it when a process dies.
 * @param nativeBinding better-sqlite3's addon, where it is not found by itself
 * @throws Error if another process holds the lock for a minute
 */
export async function withStartLock<T>(
  directory: string,
  nativeBinding: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  makePrivate(directory)
  const lock = openFile(join(directory, 'start.lock'), nativeBinding)
  try {
    await retryBusy(() => lock.exec('begin immediate'), START_PATIENCE)
    return await work()
  } finally {
    lock.close()
  }
}

/**
 * Opens the database of a directory, and brings its schema up to date. Call it under the start lock.
 * @throws StoreTooNewError
 */
export async function openStore(options: {
  directory: string
  migrations: MigrationMeta[]
  nativeBinding: string | undefined
}): Promise<Store> {
  const { directory, migrations, nativeBinding } = options
  makePrivate(directory)
  const client = openFile(join(directory, 'broker.db'), nativeBinding)
  try {
    await retryBusy(() => client.pragma('journal_mode = WAL'))
    await retryBusy(() => migrate(client, migrations))
    return createSqliteStore(client)
  } catch (error) {
    client.close()
    throw error
  }
}

/** Files are the broker's alone, also those that SQLite makes by itself later. */
function makePrivate(directory: string): void {
  process.umask(0o077)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
}

function openFile(file: string, nativeBinding: string | undefined): Database.Database {
  const client = new Database(file, {
    timeout: BUSY_TIMEOUT,
    ...(nativeBinding !== undefined && { nativeBinding }),
  })
  // SQLite keeps none of these in the file: each connection sets them itself.
  client.pragma('synchronous = FULL')
  if (process.platform === 'darwin') client.pragma('fullfsync = ON')
  client.pragma('secure_delete = ON')
  client.pragma('foreign_keys = ON')
  return client
}

/** Drizzle's migrator, from memory. */
function migrate(client: Database.Database, migrations: MigrationMeta[]): void {
  const db = drizzle(client)
  const table = '__drizzle_migrations'
  const newest = Math.max(...migrations.map(({ folderMillis }) => folderMillis))
  const exists = client.prepare(`select 1 from sqlite_master where name = ?`).get(table)
  const applied = exists
    ? db.get<{ last: number | null }>(
        sql`select max(created_at) as last from ${sql.identifier(table)}`,
      )
    : undefined
  if (Number(applied?.last ?? 0) > newest) {
    throw new StoreTooNewError(
      'The database was written by a newer version of Ellipsis Broker. Use that version, or a newer one.',
    )
  }
  const { dialect, session } = db as unknown as {
    dialect: { migrate(migrations: MigrationMeta[], session: unknown, options: object): void }
    session: unknown
  }
  dialect.migrate(migrations, session, { migrationsTable: table })
}
