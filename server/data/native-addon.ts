import { createHash, randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { chmodSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createFile, makeDirectory } from '../../db/data-directory/files.ts'
import { StartError } from './start-error.ts'

/**
 * Writes a native addon from the binary to a file, since the operating system loads code only from files.
 * The name contains the hash, so versions don't collide. Only the user can access the folder (0700), so
 * nobody else can change the file between check and load. Safe for simultaneous starts.
 * @returns the file's path
 * @throws StartError if the file can't be written with these bytes
 */
export function extractAddon(bytes: Buffer, folder: string, name: string): string {
  const hash = sha256(bytes)
  const file = join(folder, `${name}-${hash.slice(0, 16)}.node`)
  try {
    makeDirectory(folder)
    chmodSync(folder, 0o700)
    if (!hasHash(file, hash)) replaceAtomically(file, bytes)
  } catch (cause) {
    // Windows can't replace a file that another process has loaded.
    if (!hasHash(file, hash)) throw writeError(file, cause)
  }
  if (!hasHash(file, hash)) throw writeError(file, new Error('Another program changed it.'))
  return file
}

/**
 * Loads a native addon once, to report a file system that forbids execution with a clear message.
 * @throws StartError if it can't be loaded
 */
export function checkAddonLoads(file: string): void {
  try {
    createRequire(import.meta.url)(file)
  } catch (cause) {
    throw new StartError(
      `The broker can't load ${file}, which it needs to run.\n` +
        'If its file system is mounted noexec, mount it without, or set BROKER_NATIVE_DIR to a ' +
        'directory where the broker’s user can write and execute files.',
      { cause },
    )
  }
}

const writeError = (file: string, cause: unknown): StartError =>
  new StartError(
    `The broker can't write ${file}, which it needs to run.\n` +
      'Set BROKER_DATA_DIR to a directory that the broker’s user owns.',
    { cause },
  )

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

function hasHash(file: string, hash: string): boolean {
  try {
    return sha256(readFileSync(file)) === hash
  } catch {
    return false
  }
}

function replaceAtomically(file: string, bytes: Buffer): void {
  const draft = `${file}.${randomUUID()}`
  try {
    createFile(draft, bytes)
    renameSync(draft, file)
  } finally {
    rmSync(draft, { force: true })
  }
}
