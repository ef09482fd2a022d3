import { existsSync, linkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { copyDatabase, inspectDatabase } from '../../db/data-directory/copy.ts'
import { syncDirectoryOf } from '../../db/data-directory/files.ts'
import { withStartLock } from '../../db/data-directory/open.ts'
import { completeRestore } from '../../db/data-directory/restore.ts'
import { sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import { newId } from '../crypto/hash.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import type { Runtime } from '../runtime.ts'
import { explainDataError } from '../data/start-error.ts'
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
  if (existsSync(file)) throw new CommandError('backup.exists', { file })
  if (!existsSync(dirname(file)))
    throw new CommandError('backup.no-directory', { directory: dirname(file) })
  await withStartLock(dataDir, sqliteBinding(home), async () => completeRestore(dataDir)).catch(
    explainDataError(dataDir),
  )

  const partialFile = `${file}.part`
  removeLeftover(partialFile, file)
  return writeBackup(home, file, partialFile, dependencies)
    .catch((error: unknown) => {
      if (error instanceof CommandError) throw error
      const { code } = error as { code?: string }
      if (code !== undefined && STORE_ERROR_CODE.test(code)) {
        return explainDataError(dataDir)(error)
      }
      throw new CommandError('backup.failed', { file, reason: errorMessage(error) })
    })
    .finally(() => rmSync(partialFile, { force: true }))
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
  // The file belongs to the user who makes the backup, whoever owns the directory.
  writeFileSync(partialFile, '', { mode: 0o600, flag: 'wx' })
  await copyDatabase(join(dataDir, 'broker.db'), partialFile, binding, stamp)
  const { problems, meta, connections } = inspectDatabase(partialFile, binding)
  const [problem] = problems
  if (problem !== undefined) throw new CommandError('backup.damaged', { problem })
  const megabytes = (statSync(partialFile).size / 1e6).toFixed(1)
  renameToFinal(partialFile, file)
  const keys = fingerprintsOf(meta).join(', ')
  const values = { connections, file, megabytes, at, keys, directory: dataDir }
  return formatMessage('backup.done', values)
}

/** Removes the partial file of an interrupted backup. @throws CommandError */
function removeLeftover(partialFile: string, file: string): void {
  try {
    rmSync(partialFile, { force: true })
  } catch (error) {
    throw new CommandError('backup.failed', { file, reason: errorMessage(error) })
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
