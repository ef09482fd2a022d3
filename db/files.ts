import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'

/**
 * Opens a database file that its owner alone can read. SQLite gives its log the same mode.
 * @param timeout how long a statement blocks while others hold the file, milliseconds
 */
export function openFile(
  directory: string,
  name: string,
  nativeBinding: string | undefined,
  timeout: number,
): Database.Database {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, name)
  createFile(path)
  return new Database(path, { timeout, nativeBinding })
}

/** Never opens one that is there: closing it again would free the locks that SQLite has on it here. */
function createFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Waits until what was written to a file, or renamed within its directory, survives a loss of power. */
export function syncFile(path: string): void {
  const file = openSync(path, 'r+')
  fsyncSync(file)
  closeSync(file)
}

/** The same for the names in a file's directory. Windows can't, and needn't. */
export function syncDirectoryOf(path: string): void {
  /* c8 ignore next -- tests run on other systems */
  if (process.platform === 'win32') return
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}
