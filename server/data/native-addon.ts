import { createHash, randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { chmodSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createFile, makeDirectory } from '../../db/data-directory/files.ts'
import { StartError } from './start-error.ts'

/**
 * Writes a native addon out of the binary, since the operating system only loads code from files. The
 * name carries the hash, so versions don't meet; the folder is the user's alone (0700), so that nobody
 * else changes the file between its check and its loading. Safe against simultaneous starts.
 * @returns the file's path
 * @throws StartError if the file can't be made to hold these bytes
 */
export function extract(bytes: Buffer, folder: string, name: string): string {
  const hash = sha256(bytes)
  const file = join(folder, `${name}-${hash.slice(0, 16)}.node`)
  try {
    makeDirectory(folder)
    chmodSync(folder, 0o700)
    if (!holds(file, hash)) replace(file, bytes)
  } catch (cause) {
    // Windows lets nobody replace a file that another start has loaded meanwhile.
    if (!holds(file, hash)) throw failure(file, cause)
  }
  if (!holds(file, hash)) throw failure(file, new Error('Another program changed it.'))
  return file
}

/**
 * Loads a native addon, as who uses it will: a file system that runs nothing is told here, in words.
 * @throws StartError if it can't be loaded
 */
export function checkLoads(file: string): void {
  try {
    createRequire(import.meta.url)(file)
  } catch (cause) {
    throw new StartError(
      `The broker can't load ${file}, which it needs to run.\n` +
        'Is its file system mounted noexec? Then mount it without, or set BROKER_NATIVE_DIR to a ' +
        'directory where the user it runs as may write and run files.',
      { cause },
    )
  }
}

const failure = (file: string, cause: unknown): StartError =>
  new StartError(
    `The broker can't write ${file}, which it needs to run.\n` +
      'Give the user it runs as a data directory (BROKER_DATA_DIR) of its own.',
    { cause },
  )

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

function holds(file: string, hash: string): boolean {
  try {
    return sha256(readFileSync(file)) === hash
  } catch {
    return false
  }
}

/** Whole or not at all: another process sees the old file or the new one. */
function replace(file: string, bytes: Buffer): void {
  const draft = `${file}.${randomUUID()}`
  try {
    createFile(draft, bytes)
    renameSync(draft, file)
  } finally {
    rmSync(draft, { force: true })
  }
}
