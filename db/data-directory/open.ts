import type Database from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { MigrationMeta } from 'drizzle-orm/migrator'
import { keepCopy } from './copy.ts'
import { openFile } from './files.ts'
import { listProcesses } from './presence.ts'
import { completeRestore } from './restore-complete.ts'
import { emptyLog } from '../sqlite/checkpoint.ts'
import { LockHeldError, OlderProcessesError, StoreTooNewError } from '../errors.ts'
import { isBusy, retryBusy } from '../sqlite/engine.ts'
import { createSqliteStore } from '../sqlite/store.ts'
import type { Store } from '../store.ts'
import type { Upgrade } from '../upgrade.ts'

/** How long a locked database blocks the event loop; then the statement is retried. */
const BUSY_TIMEOUT_MS = 10
/** How long a start waits for another one, which may be migrating much data. */
const START_LOCK_TIMEOUT_MS = 60_000

/** A change of the tables; `name`: for people. */
export type Migration = MigrationMeta & { name?: string }

/** Where a store is, and how it is migrated. */
interface StoreOptions {
  /** The data directory; created if it is missing. The database in it is `broker.db`. */
  directory: string
  /** Every migration that this program knows, in order. */
  migrations: Migration[]
  /** Called after an existing store was migrated. */
  onUpgrade?: ((upgrade: Upgrade) => void) | undefined
  /** The file of better-sqlite3's native code; `undefined`: the one in node_modules. */
  nativeBinding: string | undefined
  /** Another file than `broker.db`. */
  name?: string
  /** See `createSqliteStore`. */
  steady?: () => number
}

/**
 * Runs `work` while no other process does so on this data directory. Everything that a first start creates
 * (tables, journal mode, keys) must be created within. The operating system releases the lock when the process
 * dies, however it dies.
 * @throws LockHeldError if others held it for a minute
 */
export async function withStartLock<T>(
  directory: string,
  nativeBinding: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return withLock(directory, 'start.lock', nativeBinding, START_LOCK_TIMEOUT_MS, work)
}

/**
 * Runs `work` while no other process holds the lock of that name.
 * @param timeoutMs how long to wait for the lock
 * @throws LockHeldError if it was held for longer
 */
export async function withLock<T>(
  directory: string,
  name: string,
  nativeBinding: string | undefined,
  timeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const lock = openFile(directory, name, nativeBinding, 0)
  try {
    await retryBusy(() => lock.exec('begin immediate'), timeoutMs).catch((cause: unknown) => {
      throw isBusy(cause) ? new LockHeldError(name, { cause }) : cause
    })
    return await work()
  } finally {
    lock.close()
  }
}

/**
 * Opens the store, and migrates its tables. Two first starts at once would collide: call it within
 * `withStartLock`, together with everything else that a first start creates. Before a migration, a copy of the
 * store is kept.
 * @throws StoreTooNewError, OlderProcessesError, KeptCopyError before anything is changed
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  return createSqliteStore(await openDatabase(options), options.steady)
}

/** Opens the SQLite connection of a store, on the same conditions as `openStore`. */
export async function openDatabase(options: StoreOptions): Promise<Database.Database> {
  const { directory, migrations, nativeBinding, name = 'broker.db' } = options
  if (name === 'broker.db') completeRestore(directory)
  const client = openFile(directory, name, nativeBinding, BUSY_TIMEOUT_MS)
  try {
    const applied = await retryBusy(() => listAppliedMigrations(client))
    refuseNewer(client, applied, migrations)
    const pending = migrations.filter(({ folderMillis }) => !applied.includes(folderMillis))
    const isUpgrade = name === 'broker.db' && applied.length > 0 && pending.length > 0
    if (isUpgrade) refuseBesideOlder(options, pending)
    await retryBusy(() => configure(client))
    const copy = isUpgrade && (await keepCopy('upgrade', directory, nativeBinding))
    await retryBusy(() => migrate(client, migrations))
    if (copy !== false) options.onUpgrade?.({ migrations: pending.map(nameOf), copy })
    // The last writer may have been killed during a backup, which leaves a long log.
    emptyLog(client)
    return client
  } catch (error) {
    client.close()
    throw error
  }
}

/** Journal mode and vacuum mode are properties of the file; the others are per connection. */
function configure(client: Database.Database): void {
  // In an existing store it would wait for other writers, and change nothing: see `copyDatabase`.
  const isNew = client.pragma('page_count', { simple: true }) === 0
  if (isNew) client.pragma('auto_vacuum = INCREMENTAL')
  client.pragma('journal_mode = WAL')
  client.pragma('synchronous = FULL')
  // For macOS, where a plain fsync leaves the data in the disk's cache.
  client.pragma('fullfsync = ON')
  client.pragma('checkpoint_fullfsync = ON')
  client.pragma('secure_delete = ON')
  client.pragma('foreign_keys = ON')
  // No temporary files.
  client.pragma('temp_store = MEMORY')
}

/** Times of the migrations that were applied to a database. */
function listAppliedMigrations(client: Database.Database): number[] {
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

/** A process that knew these migrations would have run them when it opened the store. */
function refuseBesideOlder({ directory, nativeBinding }: StoreOptions, pending: Migration[]): void {
  const processes = listProcesses(directory, nativeBinding)
  if (processes.length > 0) throw new OlderProcessesError(pending.map(nameOf), processes)
}

const nameOf = ({ name, folderMillis }: Migration): string =>
  name ?? new Date(folderMillis).toISOString()

/** Drizzle's own `migrate()` reads a folder, which the single binary doesn't have. */
function migrate(client: Database.Database, migrations: MigrationMeta[]): void {
  const { dialect, session } = drizzle(client) as unknown as {
    dialect: { migrate(migrations: MigrationMeta[], session: unknown): void }
    session: unknown
  }
  dialect.migrate(migrations, session)
}
