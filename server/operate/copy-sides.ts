import { inspectPostgres, openPostgresReader, openPostgresWriter } from '../../db/copy/postgres.ts'
import type { TableReader, TableWriter } from '../../db/copy/side.ts'
import { openSqliteReader, openSqliteWriter } from '../../db/copy/sqlite.ts'
import { describeProcesses } from '../../db/coordination.ts'
import type { Coordination } from '../../db/coordination.ts'
import { createFileCoordination } from '../../db/data-directory/coordination.ts'
import { completeRestore, hasStore } from '../../db/data-directory/restore-complete.ts'
import { LockHeldError, StoreOutdatedError } from '../../db/errors.ts'
import { connect, NO_TIMEOUT } from '../../db/postgres/connection.ts'
import { createPostgresCoordination } from '../../db/postgres/coordination.ts'
import { migratePostgres } from '../../db/postgres/open.ts'
import { isOfDatabase } from '../../db/postgres/failures.ts'
import { readMigrations, readPostgresMigrations, sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { clientOf } from '../data/database-client.ts'
import { checkServer, rootOf } from '../data/database-error.ts'
import { inspectServer } from '../data/inspect-server.ts'
import { explainDataError, startError } from '../data/start-error.ts'
import { CommandError } from './messages.ts'

/** A store that no process uses, and none can start to use before `work` is done. */
interface Place {
  /** @throws CommandError, StartError */
  read<T>(work: (source: TableReader) => Promise<T>): Promise<T>
  /** Creates the tables of a new store. @throws CommandError, StartError */
  write<T>(work: (target: TableWriter) => Promise<T>): Promise<T>
}

/** The store of a data directory. */
export function dataDirectory(home: DataDirectories): Place {
  const directory = home.dataDir
  const options = { directory, nativeBinding: sqliteBinding(home), migrations: readMigrations() }
  const use = <T, S extends { close(): Promise<void> }>(
    open: () => Promise<S>,
    work: (side: S) => Promise<T>,
  ): Promise<T> =>
    useAlone(directory, createFileCoordination(directory, options.nativeBinding), async () => {
      completeRestore(directory)
      const side = await open()
      return work(side).finally(() => side.close())
    }).catch(explainDataError(directory))
  return {
    read: (work) =>
      use(async () => {
        if (hasStore(directory)) return openSqliteReader(options)
        throw new CommandError('store.copy.no-store', { place: directory })
      }, work),
    write: (work) => use(() => openSqliteWriter(options), work),
  }
}

/** The store of a database. */
export function database(settings: DatabaseUrl): Place {
  const { address } = settings
  const name = `postgres://${address}`
  const Client = clientOf(settings)
  const migrations = readPostgresMigrations()
  const use = async <T>(work: (client: Awaited<ReturnType<typeof connect>>) => Promise<T>) => {
    const { state } = await inspectServer(settings)
    checkServer(state, address)
    const coordination = createPostgresCoordination(Client)
    try {
      return await useAlone(name, coordination, async () => {
        const client = await connect(Client, NO_TIMEOUT)
        return work(client).finally(() => client.end())
      })
    } catch (error) {
      if (!isOfDatabase(error)) throw error
      throw new CommandError('store.copy.database', {
        database: name,
        reason: rootOf(error).message,
      })
    } finally {
      await coordination.close()
    }
  }
  return {
    read: (work) =>
      use(async (client) => {
        if ((await inspectPostgres(client)) !== 'store')
          throw new CommandError('store.copy.no-store', { place: name })
        return work(await openPostgresReader({ client, name }, migrations))
      }),
    write: (work) =>
      use(async (client) => {
        if ((await inspectPostgres(client)) === 'other')
          throw new CommandError('store.copy.not-empty', { to: name })
        const listProcesses = async () => [] // `useAlone` has found none.
        await migratePostgres({ Client, migrations, listProcesses })
        return work(await openPostgresWriter({ client, name }))
      }),
  }
}

async function useAlone<T>(
  place: string,
  coordination: Coordination,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await coordination.withStartLock(async () => {
      const processes = describeProcesses(await coordination.listProcesses())
      if (processes !== '') throw new CommandError('store.copy.in-use', { place, processes })
      return work()
    })
  } catch (error) {
    if (error instanceof LockHeldError)
      throw startError('start.locked', { directory: place }, error)
    if (error instanceof StoreOutdatedError)
      throw new CommandError('store.copy.outdated', { from: place })
    throw error
  }
}
