import { existsSync, linkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { copyDatabase, inspectDatabase } from '../../db/data-directory/copy.ts'
import { syncDirectoryOf } from '../../db/data-directory/files.ts'
import { hasStore, withStartLock } from '../../db/data-directory/open.ts'
import { completeRestore } from '../../db/data-directory/restore.ts'
import { sqliteBinding } from '../assets.ts'
import type { DataDirectories } from '../assets.ts'
import { newId } from '../crypto/hash.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import type { Runtime } from '../runtime.ts'
import { explain } from '../data/start-error.ts'
import { CommandError, message } from './messages.ts'

type Needs = Pick<Runtime, 'clock' | 'random'>

/** Codes of what is wrong with the store, rather than with the place of the copy. */
const OF_THE_STORE = /^SQLITE_(NOTADB|CORRUPT|CANTOPEN|READONLY)/

/**
 * `backup FILE`: a copy of the store as it is at one moment, beside brokers that serve. Never the encryption
 * keys. The file appears whole and checked, or not at all. Answers how it ended.
 * @throws Ended, StartError
 */
export async function backup(home: DataDirectories, path: string, runtime: Needs): Promise<string> {
  const { dataDir } = home
  const file = resolve(path)
  if (existsSync(file)) throw new CommandError('backup.exists', { file })
  if (!existsSync(dirname(file)))
    throw new CommandError('backup.no-directory', { directory: dirname(file) })
  if (!hasStore(dataDir)) throw new CommandError('data.none', { directory: dataDir })
  await withStartLock(dataDir, sqliteBinding(home), async () => completeRestore(dataDir)).catch(
    explain(dataDir),
  )

  const part = `${file}.part`
  clear(part, file)
  return write(home, file, part, runtime)
    .catch((error: unknown) => {
      if (error instanceof CommandError) throw error
      const { code } = error as { code?: string }
      if (code !== undefined && OF_THE_STORE.test(code)) return explain(dataDir)(error)
      throw new CommandError('backup.failed', { file, reason: reasonOf(error) })
    })
    .finally(() => rmSync(part, { force: true }))
}

/** Makes the copy as `part`, checks it, and gives it its name. */
async function write(
  home: DataDirectories,
  file: string,
  part: string,
  { clock, random }: Needs,
): Promise<string> {
  const { dataDir } = home
  const binding = sqliteBinding(home)
  const at = new Date(clock.now()).toISOString()
  const stamp = { backup_at: at, backup_id: newId(random, 'backup') }
  // Of whoever makes the backup, wherever it goes.
  writeFileSync(part, '', { mode: 0o600, flag: 'wx' })
  await copyDatabase(join(dataDir, 'broker.db'), part, binding, stamp)
  const { problems, meta, connections } = inspectDatabase(part, binding)
  const [problem] = problems
  if (problem !== undefined) throw new CommandError('backup.damaged', { problem })
  const megabytes = (statSync(part).size / 1e6).toFixed(1)
  place(part, file)
  const keys = fingerprintsOf(meta).join(', ')
  return message('backup.done', { connections, file, megabytes, at, keys, directory: dataDir })
}

/** Removes what a backup that was cut off has left. @throws Ended */
function clear(part: string, file: string): void {
  try {
    rmSync(part, { force: true })
  } catch (error) {
    throw new CommandError('backup.failed', { file, reason: reasonOf(error) })
  }
}

/** Gives the file its name, which nobody may have taken meanwhile. */
function place(part: string, file: string): void {
  try {
    linkSync(part, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || existsSync(file)) {
      throw new CommandError('backup.exists', { file })
    }
    // A file system without links.
    renameSync(part, file)
  }
  syncDirectoryOf(file)
}

/** Why a file can't be read or written, in the system's or SQLite's words. */
export const reasonOf = (error: unknown): string => (error as Error).message
