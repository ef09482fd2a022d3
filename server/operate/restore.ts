import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { inspectDatabase, readMeta } from '../../db/data-directory/copy.ts'
import type { Inspected } from '../../db/data-directory/copy.ts'
import { withStartLock } from '../../db/data-directory/open.ts'
import { hasStore } from '../../db/data-directory/restore-complete.ts'
import { describeProcesses } from '../../db/coordination.ts'
import { listProcesses } from '../../db/data-directory/presence.ts'
import { completeRestore, restoreStore } from '../../db/data-directory/restore.ts'
import type { CarriedOver, Restored } from '../../db/data-directory/restore.ts'
import { readMigrations, sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import type { Config } from '../config/config.ts'
import type { Runtime } from '../runtime.ts'
import { createVault } from '../crypto/vault.ts'
import type { Vault } from '../crypto/vault.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { movedTo } from '../data/moved-store.ts'
import { readKeys, secretKeyFile } from '../data/secret-key.ts'
import type { Secret } from '../secret.ts'
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
  { acceptRevoked, clock, random }: { acceptRevoked: boolean } & Pick<Runtime, 'clock' | 'random'>,
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
    const vault = createVault(() => loadKeys(config), random)
    checkRestorable(config, file, found, vault)
    refuseMoved(dataDir, binding)
    if (wasInterrupted && isCurrentStore(dataDir, binding, found)) {
      return formatMessage('restore.completed', { file })
    }

    // A previous store that was kept aside has no backup time; its modification time counts.
    const from = Date.parse(found.meta.backup_at ?? '') || Math.floor(statSync(file).mtimeMs)
    const at = new Date(from).toISOString()
    const hadStore = hasStore(dataDir)
    const restored = await restoreStore({
      file,
      directory: dataDir,
      migrations: readMigrations(),
      nativeBinding: binding,
      from,
      now: clock.now(),
      keyOf: (sealed) => findKey(vault, sealed),
      acceptRevoked,
    })
    const values = { file, directory: dataDir, at, connections: found.connections }
    if (!restored.done) {
      throw new CommandError(hadStore ? 'restore.incomparable' : 'restore.new-directory', values)
    }
    return describe(restored, values)
  }).catch(explainDataError(dataDir))
}

function refuseIfInUse(dataDir: string, binding: string | undefined): void {
  const open = listProcesses(dataDir, binding)
  if (open.length === 0) return
  const processes = describeProcesses(open)
  throw new CommandError('restore.in-use', { directory: dataDir, processes })
}

/** The restored store would not have the mark. @throws CommandError if the store is served elsewhere */
function refuseMoved(dataDir: string, binding: string | undefined): void {
  const moved = movedTo(readCurrentMeta(dataDir, binding))
  if (moved) throw new CommandError('restore.moved', { directory: dataDir, ...moved })
}

/** Of the store that is replaced; empty: no store, or a damaged one. */
function readCurrentMeta(dataDir: string, binding: string | undefined): Record<string, string> {
  try {
    return readMeta(join(dataDir, 'broker.db'), binding)
  } catch {
    return {}
  }
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

/** The keys of this installation; it may have none yet. */
export function loadKeys({ dataDir, secrets }: Pick<Config, 'dataDir' | 'secrets'>): Secret[] {
  const keyFile = secretKeyFile(dataDir)
  return secrets ?? (existsSync(keyFile) ? readKeys(keyFile) : [])
}

/** The key that a value is sealed with; `null`: it is not here. */
function findKey(vault: Vault, sealed: Uint8Array): string | null {
  const id = vault.keyOf(sealed)
  return id !== null && vault.keyIds().includes(id) ? id : null
}

/** @throws CommandError if this version, with these keys, can't serve the data in the file */
function checkRestorable(
  { dataDir, secrets }: Pick<Config, 'dataDir' | 'secrets'>,
  file: string,
  { problems: [problem], migrations, meta }: Inspected,
  vault: Vault,
): void {
  if (problem !== undefined) throw new CommandError('restore.damaged', { file, problem })
  if (migrations.length === 0) throw new CommandError('restore.not-a-backup', { file })
  const known = new Set(readMigrations().map(({ folderMillis }) => folderMillis))
  if (!migrations.every((at) => known.has(at))) throw new CommandError('restore.newer', { file })
  const missing = fingerprintsOf(meta).filter((id) => !vault.keyIds().includes(id))
  if (missing.length === 0) return
  throw new CommandError('restore.key-missing', {
    file,
    source: secrets ? 'BROKER_SECRETS' : secretKeyFile(dataDir),
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

/** What the restore did, and which accounts it weakened. */
function describe(
  { compared, carried, replaced }: Extract<Restored, { done: true }>,
  values: { file: string; directory: string; at: string; connections: number },
): string {
  const all = { ...values, carried: describeCarried(carried), replaced: replaced ?? '' }
  const unseen = replaced === null ? 'restore.done-new' : 'restore.done-uncompared'
  const name = compared ? 'restore.done' : unseen
  const { lost } = carried.factors
  const weakened = lost.length > 0 && formatMessage('restore.weakened', { admins: lost.join(', ') })
  return [formatMessage(name, all), weakened || []].flat().join('\n')
}

function describeCarried({ factors, ...ended }: CarriedOver): string {
  const labels: Record<keyof typeof ended, string> = {
    connections: 'connections revoked',
    grants: 'devices revoked',
    apps: 'apps removed',
    admins: 'admins removed',
    keys: 'signing keys revoked',
  }
  const parts = (Object.keys(labels) as (keyof typeof ended)[])
    .map((key): [string, number] => [labels[key], ended[key]])
    .concat([['second factors added or changed', factors.kept]])
    .filter(([, count]) => count > 0)
    .map(([label, count]) => `${label}: ${count.toLocaleString('en')}`)
  return parts.length === 0 ? 'none' : parts.join(', ')
}
