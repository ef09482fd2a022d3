import {
  closeSync,
  fchownSync,
  fsyncSync,
  lchownSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
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
  ensureFile(path)
  return new Database(path, { timeout, nativeBinding })
}

/** Never opens one that is there: closing it again would free the locks that SQLite has on it here. */
function ensureFile(path: string): void {
  try {
    createFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/**
 * Makes a file in the data directory that its owner alone can read, and follows no link there. What root
 * makes belongs to the directory's owner, who has to work with it. SQLite does the same for its logs.
 * @throws an error with the code EEXIST if the file is there
 */
export function createFile(path: string, content: string | Buffer = ''): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    forOwnerOf(dirname(path), (uid, gid) => fchownSync(file, uid, gid))
    writeFileSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Puts a file of that content in the place of one, in the data directory: whole or not at all. */
export function replaceFile(path: string, content: string): void {
  rmSync(`${path}.new`, { force: true })
  createFile(`${path}.new`, content)
  renameSync(`${path}.new`, path)
  syncDirectoryOf(path)
}

/** Makes a directory, if it is missing, for its owner alone; as root for the owner of the one that it is in. */
export function makeDirectory(path: string): void {
  const made = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (made !== undefined) forOwnerOf(dirname(path), (uid, gid) => lchownSync(path, uid, gid))
}

/** As root gives what was made in a directory to the directory's owner. */
function forOwnerOf(directory: string, give: (uid: number, gid: number) => void): void {
  /* c8 ignore next -- the tests of this need root */
  if (process.geteuid?.() !== 0) return
  const { uid, gid } = statSync(directory)
  if (uid === 0 && gid === 0) return
  try {
    give(uid, gid)
    /* c8 ignore next 3 -- on file systems without owners, and for a root that may not: it stays as it is */
  } catch {
    return
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
