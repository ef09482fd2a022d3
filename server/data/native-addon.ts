import { createHash, randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { createFile, makeDirectory } from '../../db/data-directory/files.ts'
import { findFault } from '../config/settings-file.ts'
import { StartError } from './start-error.ts'

/** An addon that was written to a file and verified. */
export interface ExtractedAddon {
  file: string
  /** The open file. What was verified is loaded from it, whatever has the file's name by then. */
  descriptor: number
}

/** Addons that this process has loaded, by file. */
const loaded = new Map<string, object>()

/**
 * Loads a native addon of the binary. The operating system loads code only from files, so it is written to one.
 * @param folder created if it is missing, for this user only
 * @returns the addon's exports
 * @throws StartError if the file can't be written, or if its file system forbids execution
 */
export function loadAddon(bytes: Buffer, folder: string, name: string): object {
  const known = loaded.get(join(folder, name))
  if (known) return known
  const addon = load(extractAddon(bytes, folder, name))
  loaded.set(join(folder, name), addon)
  return addon
}

/**
 * Writes an addon to a file, unless it is there. The name contains the hash, so versions don't collide. Only
 * this user and root can change folder and file. Safe for simultaneous starts.
 * @throws StartError if another user could change it, or if the file can't be written with these bytes
 */
export function extractAddon(bytes: Buffer, folder: string, name: string): ExtractedAddon {
  const hash = sha256(bytes)
  const file = join(folder, `${name}-${hash.slice(0, 16)}.node`)
  let failure: unknown = new Error('Another program changed it.')
  try {
    makeDirectory(folder)
    checkFolder(folder)
    const descriptor = openVerified(file, hash)
    if (descriptor !== null) return { file, descriptor }
    replaceAtomically(file, bytes)
  } catch (error) {
    if (error instanceof StartError) throw error
    // Windows can't replace a file that another process has loaded.
    failure = error
  }
  const descriptor = openVerified(file, hash)
  if (descriptor === null) throw writeError(file, failure)
  return { file, descriptor }
}

/** @throws StartError if the folder is a link, or if another user than root can change it */
function checkFolder(folder: string): void {
  const stats = fs.lstatSync(folder)
  const fault = stats.isDirectory()
    ? findFault(folder, stats)
    : { problem: 'is not a directory, or is a link.', fix: `Remove it.` }
  if (!fault) return
  throw new StartError(
    `The broker writes and loads native code in ${folder}, which ${fault.problem}\n${fault.fix} Or set BROKER_NATIVE_DIR to a directory that the broker’s user owns.`,
  )
}

/** Opens the file, if it has that hash and only this user and root can change it; `null`: it isn't so. */
function openVerified(file: string, hash: string): number | null {
  let descriptor
  try {
    descriptor = fs.openSync(file, fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0))
    const isSafe = findFault(file, fs.fstatSync(descriptor)) === null
    if (isSafe && sha256(fs.readFileSync(descriptor)) === hash) return descriptor
  } catch {
    // It is missing, a link, or can't be read.
  }
  if (descriptor !== undefined) fs.closeSync(descriptor)
  return null
}

/** Keeps the file open: the system takes another addon for this one if it is loaded by the same descriptor. */
function load({ file, descriptor }: ExtractedAddon): object {
  const open = `/proc/self/fd/${descriptor}`
  const addon: { exports: object } = { exports: {} }
  try {
    process.dlopen(addon, fs.existsSync(open) ? open : file)
  } catch (cause) {
    fs.closeSync(descriptor)
    throw new StartError(
      `The broker can't load ${file}, which it needs to run.\n` +
        'If its file system is mounted noexec, mount it without, or set BROKER_NATIVE_DIR to a ' +
        'directory where the broker’s user can write and execute files.',
      { cause },
    )
  }
  return addon.exports
}

const writeError = (file: string, cause: unknown): StartError =>
  new StartError(
    `The broker can't write ${file}, which it needs to run.\n` +
      'Set BROKER_DATA_DIR to a directory that the broker’s user owns.',
    { cause },
  )

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

function replaceAtomically(file: string, bytes: Buffer): void {
  const draft = `${file}.${randomUUID()}`
  try {
    createFile(draft, bytes)
    fs.renameSync(draft, file)
  } finally {
    fs.rmSync(draft, { force: true })
  }
}
