import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { sqliteBinding } from '../assets.ts'
import type { Config } from '../config/config.ts'
import { explainDataError } from './start-error.ts'

/**
 * The `meta` of a store that is not opened; empty if no store exists.
 * @throws StartError
 */
export async function readStoredMeta(
  config: Pick<Config, 'database' | 'dataDir' | 'nativeDir'>,
): Promise<Record<string, string>> {
  const { database, dataDir } = config
  if (database) {
    const { inspectServer } = await import('./inspect-server.ts')
    return (await inspectServer(database)).meta
  }
  const file = join(dataDir, 'broker.db')
  if (!existsSync(file)) return {}
  const { readMeta } = await import('../../db/data-directory/copy.ts')
  const { retryBusy } = await import('../../db/sqlite/engine.ts')
  return retryBusy(() => readMeta(file, sqliteBinding(config))).catch(explainDataError(dataDir))
}
