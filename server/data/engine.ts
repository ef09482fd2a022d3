import type { Coordination } from '../../db/coordination.ts'
import { keepCopy } from '../../db/data-directory/copy.ts'
import { createFileCoordination } from '../../db/data-directory/coordination.ts'
import { openStore } from '../../db/data-directory/open.ts'
import type { Upgrade } from '../../db/upgrade.ts'
import { hasStore } from '../../db/data-directory/restore-complete.ts'
import { measureStorage } from '../../db/data-directory/size.ts'
import type { StorageSize } from '../../db/data-directory/size.ts'
import type { Store } from '../../db/store.ts'
import { readMigrations, readPostgresMigrations, sqliteBinding } from '../assets.ts'
import type { Config } from '../config/config.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import type { SteadyClock } from '../runtime.ts'
import { explainDataError } from './start-error.ts'

/** Where the store is and what opens it: SQLite in the data directory, or PostgreSQL. */
export interface StoreEngine {
  /** For messages. */
  place: string
  coordination: Coordination
  /** Has a broker created its store there? */
  hasStore(): Promise<boolean>
  /** Opens the store, and migrates its tables. Call it under the start lock. */
  open(onUpgrade: ((upgrade: Upgrade) => void) | undefined): Promise<Store>
  /** Keeps a copy before the data is given to another owner. On PostgreSQL, that is up to the backups. */
  keepCopy(): Promise<void>
  measureStorage(): Promise<StorageSize>
  /** A handler of errors: known ones become a StartError, others are rethrown. */
  explain(error: unknown): never
}

/** The engine that the settings choose. @throws StartError if its server can't be used */
export const openEngine = async (
  config: Pick<Config, 'database' | 'dataDir' | 'nativeDir'>,
  clock: SteadyClock,
): Promise<StoreEngine> =>
  config.database ? openPostgres(config.database, config.dataDir) : openDataDirectory(config, clock)

function openDataDirectory(
  config: Pick<Config, 'dataDir' | 'nativeDir'>,
  clock: SteadyClock,
): StoreEngine {
  const { dataDir: directory } = config
  const nativeBinding = sqliteBinding(config)
  return {
    place: directory,
    coordination: createFileCoordination(directory, nativeBinding),
    hasStore: async () => hasStore(directory),
    open: (onUpgrade) => {
      const migrations = readMigrations()
      const steady = () => clock.steady()
      return openStore({ directory, migrations, nativeBinding, onUpgrade, steady })
    },
    keepCopy: async () => void (await keepCopy('client-change', directory, nativeBinding)),
    measureStorage: () => measureStorage(directory),
    explain: explainDataError(directory),
  }
}

/** What the processes on the store agree on, for looking at it. */
export async function openCoordination({
  database,
  ...config
}: Pick<Config, 'database' | 'dataDir' | 'nativeDir'>): Promise<Coordination> {
  if (!database) return createFileCoordination(config.dataDir, sqliteBinding(config))
  const { createPostgresCoordination } = await import('../../db/postgres/coordination.ts')
  const { clientOf } = await import('./database-client.ts')
  const Client = clientOf(database)
  await Client.ready()
  return createPostgresCoordination(Client)
}

/** Loads the client of PostgreSQL only here: commands on SQLite start faster. */
async function openPostgres(database: DatabaseUrl, dataDir: string): Promise<StoreEngine> {
  const { openPostgresStore, START_WAIT_MS } = await import('../../db/postgres/open.ts')
  const { clientOf } = await import('./database-client.ts')
  const { checkServer, explainDatabaseError } = await import('./database-error.ts')
  const { inspectServer } = await import('./inspect-server.ts')
  const { address } = database
  const { state } = await inspectServer(database, START_WAIT_MS)
  checkServer(state, address)
  const config = { database, dataDir: '', nativeDir: null }
  const coordination = await openCoordination(config)
  return {
    place: address,
    coordination,
    // Another process may have created it meanwhile.
    hasStore: async () => state.hasTables || (await inspectServer(database)).state.hasTables,
    open: (onUpgrade) =>
      openPostgresStore({
        Client: clientOf(database),
        migrations: readPostgresMigrations(),
        listProcesses: () => coordination.listProcesses(),
        onUpgrade,
      }),
    keepCopy: async () => undefined,
    measureStorage: async () => {
      const { databaseBytes } = (await inspectServer(database)).state
      return { freeBytes: null, databaseBytes, logBytes: null }
    },
    explain: (error) =>
      // Keys, and tokens that are not stored yet, are files.
      isFileError(error) ? explainDataError(dataDir)(error) : explainDatabaseError(address)(error),
  }
}

const isFileError = (error: unknown): boolean =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
