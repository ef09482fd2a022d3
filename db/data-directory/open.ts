import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { MigrationMeta } from 'drizzle-orm/migrator'
import { keepCopy } from './copy.ts'
import { openFile } from './files.ts'
import { completeRestore, isRestored } from './restore-complete.ts'
import { emptyLog } from '../sqlite/checkpoint.ts'
import { retryBusy } from '../sqlite/engine.ts'
import { createSqliteStore } from '../sqlite/store.ts'
import type { Store } from '../store.ts'

/** What a blocked statement may hold up the event loop for, milliseconds; then it is tried again. */
const BUSY_TIMEOUT = 10
/** How long a start waits for another one, which may be migrating much data. Milliseconds. */
const START_PATIENCE = 60_000

/** The database was written by a newer version of this program. */
export class StoreTooNewError extends Error {
  override name = 'StoreTooNewError'
  readonly file: string

  constructor(file: string) {
    super(`${file} was written by a newer version of this program`)
    this.file = file
  }
}

/** Where a store is, and how it comes up to date. */
export interface StoreOptions {
  /** The data directory; made if it is missing. The database in it is `broker.db`. */
  directory: string
  /** Every migration that this program knows, in order. */
  migrations: MigrationMeta[]
  /** The file of better-sqlite3's native code; `undefined`: its own place in node_modules. */
  nativeBinding: string | undefined
  /** Another file than `broker.db`. */
  name?: string
}

/**
 * Runs `work` while no other process does so on this data directory. Whatever a first start makes
 * (tables, journal mode, keys) is to be made within. The operating system frees the lock when the
 * process dies, however it dies.
 * @throws SqliteError `SQLITE_BUSY` when others held it for a minute
 */
export async function withStartLock<T>(
  directory: string,
  nativeBinding: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return withLock(directory, 'start.lock', nativeBinding, START_PATIENCE, work)
}

/**
 * Runs `work` while no other process holds the lock of that name.
 * @param patience how long it is waited for, milliseconds
 * @throws SqliteError `SQLITE_BUSY` when it was held for longer
 */
export async function withLock<T>(
  directory: string,
  name: string,
  nativeBinding: string | undefined,
  patience: number,
  work: () => Promise<T>,
): Promise<T> {
  const lock = openFile(directory, name, nativeBinding, 0)
  try {
    await retryBusy(() => lock.exec('begin immediate'), patience)
    return await work()
  } finally {
    lock.close()
  }
}

/**
 * Opens the store, and brings its tables up to date. Two first starts at once would trip over each
 * other: call it within `withStartLock`, together with whatever else a first start makes.
 * A copy is kept of a store whose tables change.
 * @throws StoreTooNewError, KeptCopyError before anything is changed
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  return createSqliteStore(await openDatabase(options))
}

/** Is there a store in that directory, or one that a restore has made ready? */
export const hasStore = (directory: string): boolean =>
  existsSync(join(directory, 'broker.db')) || isRestored(directory)

/** The connection under a store, for what SQLite does by itself. Conditions as for `openStore`. */
export async function openDatabase(options: StoreOptions): Promise<Database.Database> {
  const { directory, migrations, nativeBinding, name = 'broker.db' } = options
  if (name === 'broker.db') completeRestore(directory)
  const client = openFile(directory, name, nativeBinding, BUSY_TIMEOUT)
  try {
    const applied = await retryBusy(() => appliedTo(client))
    refuseNewer(client, applied, migrations)
    await retryBusy(() => configure(client))
    if (name === 'broker.db' && applied.length > 0 && applied.length < migrations.length) {
      await keepCopy('upgrade', directory, nativeBinding)
    }
    await retryBusy(() => migrate(client, migrations))
    // Whoever wrote last may have been killed beside a backup.
    emptyLog(client)
    return client
  } catch (error) {
    client.close()
    throw error
  }
}

/** A write-ahead log is a property of the file; the rest, SQLite forgets with each connection. */
function configure(client: Database.Database): void {
  client.pragma('journal_mode = WAL')
  client.pragma('synchronous = FULL')
  // On macOS alone: a plain fsync there leaves the data in the disk's cache.
  client.pragma('fullfsync = ON')
  client.pragma('checkpoint_fullfsync = ON')
  client.pragma('secure_delete = ON')
  client.pragma('foreign_keys = ON')
  // What SQLite puts aside while it works doesn't go to a temporary file.
  client.pragma('temp_store = MEMORY')
}

/** The migrations that a database has had, by their times. */
function appliedTo(client: Database.Database): number[] {
  const table = client.prepare("select 1 from sqlite_schema where name = '__drizzle_migrations'")
  if (!table.get()) return []
  return client.prepare('select created_at from __drizzle_migrations').pluck().all().map(Number)
}

function refuseNewer(
  client: Database.Database,
  applied: number[],
  migrations: MigrationMeta[],
): void {
  const known = new Set(migrations.map(({ folderMillis }) => folderMillis))
  if (!applied.every((at) => known.has(at))) throw new StoreTooNewError(client.name)
}

/** Drizzle's own `migrate()` reads a folder, which a single binary doesn't have. */
function migrate(client: Database.Database, migrations: MigrationMeta[]): void {
  const { dialect, session } = drizzle(client) as unknown as {
    dialect: { migrate(migrations: MigrationMeta[], session: unknown): void }
    session: unknown
  }
  dialect.migrate(migrations, session)
}
