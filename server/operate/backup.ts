import { existsSync, linkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { copyDatabase, inspectDatabase, stampDatabase } from '../../db/data-directory/copy.ts'
import { syncDirectoryOf } from '../../db/data-directory/files.ts'
import { withStartLock } from '../../db/data-directory/open.ts'
import { completeRestore } from '../../db/data-directory/restore.ts'
import { sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import { newId } from '../crypto/hash.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import type { Runtime } from '../runtime.ts'
import { StartError, explainDataError } from '../data/start-error.ts'
import { CommandError, errorMessage, formatMessage } from './messages.ts'

type Dependencies = Pick<Runtime, 'clock' | 'random'>

/** SQLite's error codes for a fault of the store, not of the backup file. */
const STORE_ERROR_CODE = /^SQLITE_(NOTADB|CORRUPT|CANTOPEN|READONLY)/

/**
 * `backup FILE`: writes a snapshot of the store while brokers serve; never the encryption keys. The file
 * appears complete and checked, or not at all. Call it only if there is a store.
 * @returns the message to print
 * @throws CommandError, StartError
 */
export async function backup(
  home: DataDirectories,
  path: string,
  dependencies: Dependencies,
): Promise<string> {
  const { dataDir } = home
  const file = resolve(path)
  if (existsSync(file)) {
    const name = statSync(file).isDirectory() ? 'backup.is-directory' : 'backup.exists'
    throw new CommandError(name, { file })
  }
  checkDirectory(file)
  await withStartLock(dataDir, sqliteBinding(home), async () => completeRestore(dataDir)).catch(
    explainDataError(dataDir),
  )

  const partialFile = `${file}.part`
  removeLeftover(partialFile, file)
  return writeBackup(home, file, partialFile, dependencies)
    .catch((error: unknown) => {
      const { code } = error as { code?: string }
      if (code !== undefined && STORE_ERROR_CODE.test(code)) {
        return explainDataError(dataDir)(error)
      }
      throw explainWriteError(file, error)
    })
    .finally(() => rmSync(partialFile, { force: true }))
}

const FULL_CODE = /^(ENOSPC|EDQUOT|SQLITE_FULL)$/
const FORBIDDEN_CODE = /^(EACCES|EPERM|EROFS|SQLITE_(READONLY|CANTOPEN).*)$/

/**
 * Why a file of a backup can't be written, as the user should fix it.
 * @param file the backup, or the directory of the backups
 */
export function explainWriteError(file: string, error: unknown): Error {
  const { code } = error as { code?: unknown }
  if (error instanceof CommandError || error instanceof StartError) return error
  const values = { file, reason: errorMessage(error) }
  if (FULL_CODE.test(String(code))) return new CommandError('backup.disk-full', values)
  if (FORBIDDEN_CODE.test(String(code))) {
    const user = String(process.geteuid?.() ?? userInfo().username)
    return new CommandError('backup.forbidden', { ...values, user })
  }
  return new CommandError('backup.failed', values)
}

/** @throws CommandError if the file's directory is missing, or this user can't reach it */
function checkDirectory(file: string): void {
  try {
    statSync(dirname(file))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES') {
      throw explainWriteError(file, error)
    }
    throw new CommandError('backup.no-directory', { directory: dirname(file) })
  }
}

/** Copies the store to `partialFile`, checks the copy, and renames it to `file`. */
async function writeBackup(
  home: DataDirectories,
  file: string,
  partialFile: string,
  { clock, random }: Dependencies,
): Promise<string> {
  const { dataDir } = home
  const binding = sqliteBinding(home)
  const at = new Date(clock.now()).toISOString()
  const stamp = { backup_at: at, backup_id: newId(random, 'backup') }
  writeFileSync(partialFile, '', { mode: 0o600, flag: 'wx' })
  await copyDatabase(join(dataDir, 'broker.db'), partialFile, binding, stamp)
  const { problems, meta, connections } = inspectDatabase(partialFile, binding)
  const [problem] = problems
  if (problem !== undefined) throw new CommandError('backup.damaged', { problem })
  const megabytes = (statSync(partialFile).size / 1e6).toFixed(1)
  renameToFinal(partialFile, file)
  // For monitoring. The backup is good without it.
  await stampDatabase(join(dataDir, 'broker.db'), binding, { last_backup_at: at }).catch(() => null)
  const keys = fingerprintsOf(meta).join(', ')
  const values = { connections, file, megabytes, at, keys, directory: dataDir }
  return formatMessage('backup.done', values)
}

/** Removes the partial file of an interrupted backup. @throws CommandError */
function removeLeftover(partialFile: string, file: string): void {
  try {
    rmSync(partialFile, { force: true })
  } catch (error) {
    throw explainWriteError(file, error)
  }
}

/** Gives the file its final name, unless another file has taken the name meanwhile. @throws CommandError */
function renameToFinal(partialFile: string, file: string): void {
  try {
    linkSync(partialFile, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || existsSync(file)) {
      throw new CommandError('backup.exists', { file })
    }
    // A file system without links.
    renameSync(partialFile, file)
  }
  syncDirectoryOf(file)
}
