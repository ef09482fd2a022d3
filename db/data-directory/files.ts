import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'

/**
 * Opens a database file that only its owner can read; it is created if it is missing. SQLite gives its log
 * the same mode.
 * @param timeout how long a statement blocks while others lock the file, milliseconds
 */
export function openFile(
  directory: string,
  name: string,
  nativeBinding: string | undefined,
  timeout: number,
): Database.Database {
  makeDirectory(directory)
  const path = join(directory, name)
  ensureFile(path)
  return new Database(path, { timeout, nativeBinding })
}

/** Never opens an existing file: closing it would release the locks that SQLite has on it in this process. */
function ensureFile(path: string): void {
  try {
    createFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/**
 * Creates a file in the data directory that only its owner can read, and follows no link there.
 * @throws an error with the code EEXIST if the file exists
 */
export function createFile(path: string, content: string | Uint8Array = ''): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    writeFileSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Replaces a file in the data directory atomically. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  rmSync(`${path}.new`, { force: true })
  createFile(`${path}.new`, content)
  renameSync(`${path}.new`, path)
  syncDirectoryOf(path)
}

/** Creates a directory, if it is missing, for its owner only. */
export function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
}

/** Waits until what was written to a file survives a loss of power. */
export function syncFile(path: string): void {
  const file = openSync(path, 'r+')
  fsyncSync(file)
  closeSync(file)
}

/** The same for renames in a file's directory. Not possible on Windows, and not needed there. */
export function syncDirectoryOf(path: string): void {
  /* c8 ignore next -- tests run on other systems */
  if (process.platform === 'win32') return
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}
