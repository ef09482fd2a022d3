import { existsSync, lstatSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readMeta } from '../../db/data-directory/copy.ts'
import { withLock } from '../../db/data-directory/open.ts'
import { LockHeldError } from '../../db/errors.ts'
import { sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import type { Runtime } from '../runtime.ts'
import { backup, explainWriteError } from './backup.ts'
import { CommandError, errorMessage, formatMessage } from './messages.ts'

/** Backups that this command has made, such as `broker-2026-11-30T01-57-07Z.db`. */
const BACKUP_NAME = /^broker-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.db$/
/** An unfinished backup of a command that was killed. */
const PARTIAL_NAME = /^broker-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.db\.part$/

/**
 * `backup --keep N DIRECTORY`: writes a dated backup, and deletes the oldest ones of the same store, so that N
 * remain. Nothing is deleted unless the new backup is complete and checked. Other files are never deleted.
 * @param keep how many backups remain, the new one among them
 * @returns the message to print
 * @throws CommandError, StartError
 */
export async function backupAndRotate(
  home: DataDirectories,
  path: string,
  keep: number,
  dependencies: Pick<Runtime, 'clock' | 'random'>,
): Promise<string> {
  const directory = resolve(path)
  if (!existsSync(directory)) throw new CommandError('backup.no-directory', { directory })
  if (!lstatSync(join(directory, '.')).isDirectory()) {
    throw new CommandError('backup.not-directory', { file: directory })
  }
  const binding = sqliteBinding(home)
  return withLock(directory, 'backup.lock', binding, 0, async () => {
    for (const name of listFiles(directory, PARTIAL_NAME)) rmSync(join(directory, name))
    const name = nameAt(dependencies.clock.now())
    const text = await backup(home, join(directory, name), dependencies)
    const { store_id: storeId } = readMeta(join(directory, name), binding)
    const older = listFiles(directory, BACKUP_NAME)
      .filter((other) => other !== name && isBackupOf(storeId, join(directory, other), binding))
      .sort()
    const excess = older.slice(0, Math.max(0, older.length - (keep - 1)))
    for (const old of excess) removeOld(join(directory, old), join(directory, name))
    const kept = older.length - excess.length + 1
    const deleted = excess.length === 0 ? 'none' : excess.join(', ')
    return `${text}\n${formatMessage('backup.rotated', { kept, directory, deleted })}`
  }).catch(explainLock(directory))
}

const nameAt = (now: number): string =>
  `broker-${new Date(now).toISOString().slice(0, 19).replaceAll(':', '-')}Z.db`

const listFiles = (directory: string, pattern: RegExp): string[] =>
  readdirSync(directory).filter(
    (name) => pattern.test(name) && lstatSync(join(directory, name)).isFile(),
  )

/** Was this file written by `backup`, from that store? A file that can't be read was not, as far as is known. */
function isBackupOf(
  storeId: string | undefined,
  file: string,
  binding: string | undefined,
): boolean {
  try {
    const { store_id: id, backup_id: backupId } = readMeta(file, binding)
    return id !== undefined && id === storeId && backupId !== undefined
  } catch {
    return false
  }
}

function removeOld(old: string, file: string): void {
  try {
    rmSync(old)
  } catch (error) {
    throw new CommandError('backup.not-deleted', { file, old, reason: errorMessage(error) })
  }
}

/** Explains an error of the lock file, or of listing the directory. */
const explainLock =
  (directory: string) =>
  (error: unknown): never => {
    const { code } = error as { code?: unknown }
    if (error instanceof LockHeldError) throw new CommandError('backup.running', { directory })
    throw typeof code === 'string' ? explainWriteError(directory, error) : error
  }
