import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import type { Inspected } from '../../db/data-directory/copy.ts'
import { withStartLock } from '../../db/data-directory/open.ts'
import { describeProcesses, listProcesses } from '../../db/data-directory/presence.ts'
import { completeRestore, restoreStore } from '../../db/data-directory/restore.ts'
import type { CarriedOver } from '../../db/data-directory/restore.ts'
import { readMigrations, sqliteBinding } from '../assets.ts'
import type { Place } from '../assets.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../runtime.ts'
import { keyIdOf } from '../crypto/vault.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { readKeys, secretKeyFile } from '../data/secret-key.ts'
import { explain } from '../data/start-error.ts'
import { reasonOf } from './backup.ts'
import { CommandError, message } from './messages.ts'

/**
 * `restore FILE`: a backup takes the place of the store, which is kept aside. What was revoked since the
 * backup stays revoked. Cut off at any point, the one or the other is there whole, and running it again
 * completes it. Answers how it ended.
 * @throws Ended, StartError
 */
export async function restore(
  config: Pick<Config, 'secrets'> & Place,
  path: string,
  { acceptRevoked, clock }: { acceptRevoked: boolean; clock: Clock },
): Promise<string> {
  const { dataDir } = config
  const file = readable(resolve(path))
  const binding = sqliteBinding(config)
  if (isStore(file, dataDir)) throw new CommandError('restore.itself', { file })
  return withStartLock(dataDir, binding, async () => {
    refuseOpen(dataDir, binding)
    const cutOff = completeRestore(dataDir)
    const found = inspect(file, binding)
    check(config, file, found)
    if (cutOff && isSame(dataDir, binding, found)) return message('restore.completed', { file })

    // A store that was put aside isn't a backup, and doesn't say of when it is.
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
    return message(compared ? 'restore.done' : 'restore.done-uncompared', {
      connections: found.connections,
      at: new Date(from).toISOString(),
      carried: describe(carried),
      replaced: replaced ?? 'nowhere: there was none',
    })
  }).catch(explain(dataDir))
}

function refuseOpen(dataDir: string, binding: string | undefined): void {
  const open = listProcesses(dataDir, binding)
  if (open.length === 0) return
  const processes = describeProcesses(open)
  throw new CommandError('restore.open', { directory: dataDir, processes })
}

/** The file, if it is there and this user may read it. */
function readable(file: string): string {
  try {
    accessSync(file, constants.R_OK)
    return file
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new CommandError('restore.no-file', { file })
    throw new CommandError('restore.unreadable', { file, reason: reasonOf(error) })
  }
}

/** Is it the store itself, by whatever name? */
function isStore(file: string, dataDir: string): boolean {
  const store = join(dataDir, 'broker.db')
  return existsSync(store) && realpathSync(file) === realpathSync(store)
}

function inspect(file: string, binding: string | undefined): Inspected {
  try {
    return inspectDatabase(file, binding)
  } catch (error) {
    throw new CommandError('restore.damaged', { file, problem: reasonOf(error) })
  }
}

/** Can this program, with these keys, serve what the file holds? */
function check(
  config: Pick<Config, 'dataDir' | 'secrets'>,
  file: string,
  { problems: [problem], migrations, meta }: Inspected,
): void {
  if (problem !== undefined) throw new CommandError('restore.damaged', { file, problem })
  if (migrations.length === 0) throw new CommandError('restore.not-ours', { file })
  const known = new Set(readMigrations().map(({ folderMillis }) => folderMillis))
  if (!migrations.every((at) => known.has(at))) throw new CommandError('restore.newer', { file })
  const keyFile = secretKeyFile(config.dataDir)
  const keys = config.secrets ?? (existsSync(keyFile) ? readKeys(keyFile) : [])
  const have = new Set(keys.map(keyIdOf))
  const missing = fingerprintsOf(meta).filter((id) => !have.has(id))
  if (missing.length === 0) return
  const source = config.secrets ? 'BROKER_SECRETS' : keyFile
  throw new CommandError('restore.key', { file, source, fingerprints: missing.join(' and ') })
}

/** Is the store that is there now the one that this backup makes? */
function isSame(dataDir: string, binding: string | undefined, { meta }: Inspected): boolean {
  const current = inspectDatabase(join(dataDir, 'broker.db'), binding)
  return meta.backup_id !== undefined && current.meta.backup_id === meta.backup_id
}

function describe(carried: CarriedOver): string {
  const parts = (Object.entries(carried) as [string, number][])
    .filter(([, count]) => count > 0)
    .map(([noun, count]) => `${count.toLocaleString('en')} ${noun}`)
  return parts.length === 0 ? 'nothing' : parts.join(', ')
}
