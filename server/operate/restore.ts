import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import type { Inspected } from '../../db/data-directory/copy.ts'
import { withStartLock } from '../../db/data-directory/open.ts'
import { describeProcesses, listProcesses } from '../../db/data-directory/presence.ts'
import { completeRestore, restoreStore } from '../../db/data-directory/restore.ts'
import type { CarriedOver } from '../../db/data-directory/restore.ts'
import { readMigrations, sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../runtime.ts'
import { keyIdOf } from '../crypto/vault.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { readKeys, secretKeyFile } from '../data/secret-key.ts'
import { explainDataError } from '../data/start-error.ts'
import { CommandError, errorMessage, formatMessage } from './messages.ts'

/**
 * `restore FILE`: replaces the store with a backup and keeps the previous store. What was revoked since the
 * backup stays revoked. If interrupted at any point, one of the two stores is there, complete; running it
 * again completes the restore.
 * @returns the message to print
 * @throws CommandError, StartError
 */
export async function restore(
  config: Pick<Config, 'secrets'> & DataDirectories,
  path: string,
  { acceptRevoked, clock }: { acceptRevoked: boolean; clock: Clock },
): Promise<string> {
  const { dataDir } = config
  const file = resolve(path)
  checkReadable(file)
  const binding = sqliteBinding(config)
  if (isStore(file, dataDir)) throw new CommandError('restore.itself', { file })
  return withStartLock(dataDir, binding, async () => {
    refuseIfInUse(dataDir, binding)
    const wasInterrupted = completeRestore(dataDir)
    const found = inspect(file, binding)
    checkRestorable(config, file, found)
    if (wasInterrupted && isCurrentStore(dataDir, binding, found)) {
      return formatMessage('restore.completed', { file })
    }

    // A previous store that was kept aside has no backup time; its modification time counts.
    const from = Date.parse(found.meta.backup_at ?? '') || Math.floor(statSync(file).mtimeMs)
    const restored = await restoreStore({
      file,
      directory: dataDir,
      migrations: readMigrations(),
      nativeBinding: binding,
      from,
      now: clock.now(),
      acceptRevoked,
    })
    if (!restored.done) throw new CommandError('restore.incomparable', { file })
    const { compared, carried, replaced } = restored
    return formatMessage(compared ? 'restore.done' : 'restore.done-uncompared', {
      connections: found.connections,
      at: new Date(from).toISOString(),
      carried: describeCarried(carried),
      replaced: replaced ?? 'none, as there was no store',
    })
  }).catch(explainDataError(dataDir))
}

function refuseIfInUse(dataDir: string, binding: string | undefined): void {
  const open = listProcesses(dataDir, binding)
  if (open.length === 0) return
  const processes = describeProcesses(open)
  throw new CommandError('restore.in-use', { directory: dataDir, processes })
}

/** @throws CommandError if the file is missing, or this user may not read it */
function checkReadable(file: string): void {
  try {
    accessSync(file, constants.R_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new CommandError('restore.no-file', { file })
    throw new CommandError('restore.unreadable', { file, reason: errorMessage(error) })
  }
}

/** Is the file the current store, also through links? */
function isStore(file: string, dataDir: string): boolean {
  const store = join(dataDir, 'broker.db')
  return existsSync(store) && realpathSync(file) === realpathSync(store)
}

function inspect(file: string, binding: string | undefined): Inspected {
  try {
    return inspectDatabase(file, binding)
  } catch (error) {
    throw new CommandError('restore.damaged', { file, problem: errorMessage(error) })
  }
}

/** @throws CommandError if this version, with these keys, can't serve the data in the file */
function checkRestorable(
  config: Pick<Config, 'dataDir' | 'secrets'>,
  file: string,
  { problems: [problem], migrations, meta }: Inspected,
): void {
  if (problem !== undefined) throw new CommandError('restore.damaged', { file, problem })
  if (migrations.length === 0) throw new CommandError('restore.not-a-backup', { file })
  const known = new Set(readMigrations().map(({ folderMillis }) => folderMillis))
  if (!migrations.every((at) => known.has(at))) throw new CommandError('restore.newer', { file })
  const keyFile = secretKeyFile(config.dataDir)
  const keys = config.secrets ?? (existsSync(keyFile) ? readKeys(keyFile) : [])
  const keyIds = new Set(keys.map(keyIdOf))
  const missing = fingerprintsOf(meta).filter((id) => !keyIds.has(id))
  if (missing.length === 0) return
  const source = config.secrets ? 'BROKER_SECRETS' : keyFile
  throw new CommandError('restore.key-missing', {
    file,
    source,
    fingerprints: missing.join(' and '),
  })
}

/** Was the current store made by restoring this backup? */
function isCurrentStore(
  dataDir: string,
  binding: string | undefined,
  { meta }: Inspected,
): boolean {
  const current = inspectDatabase(join(dataDir, 'broker.db'), binding)
  return meta.backup_id !== undefined && current.meta.backup_id === meta.backup_id
}

function describeCarried(carried: CarriedOver): string {
  const parts = (Object.entries(carried) as [string, number][])
    .filter(([, count]) => count > 0)
    .map(([noun, count]) => `${count.toLocaleString('en')} ${noun}`)
  return parts.length === 0 ? 'nothing' : parts.join(', ')
}
