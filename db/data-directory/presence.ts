import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { makeDirectory, openFile, replaceFile } from './files.ts'

/** What a process that has the store open tells of itself to the others on this data directory. */
export interface Present {
  pid: number
  /** `serve`, or another command. */
  command: string
  startedAt: number
  /** Ids of the encryption keys that it has loaded, the one that seals first. */
  keyIds: string[]
}

/** This process, among those that have the store open. */
export interface Presence {
  id: string
  tell(keyIds: string[]): void
  leave(): void
}

/** In the data directory: for each process a lock, which dies with it, and what it tells. */
const FOLDER = 'running'
/** A process that tests whether a lock is held takes it for an instant; on a busy machine, for longer. */
const LOOKED_AT_FOR_MS = 5000

/**
 * Says that this process has the store open, until it leaves or dies, however it dies: the lock is the
 * operating system's. Call it under the start lock.
 */
export function announce(
  directory: string,
  nativeBinding: string | undefined,
  told: Present,
): Presence {
  const folder = join(directory, FOLDER)
  makeDirectory(folder)
  removeDead(folder, nativeBinding)
  const id = `${told.pid}-${randomBytes(6).toString('hex')}`
  const lock = openFile(folder, `${id}.lock`, nativeBinding, LOOKED_AT_FOR_MS)
  lock.exec('begin immediate')
  write(folder, id, told)
  return {
    id,
    tell: (keyIds) => write(folder, id, { ...told, keyIds }),
    leave() {
      rmSync(join(folder, `${id}.json`), { force: true })
      lock.close()
      remove(folder, id)
    },
  }
}

/** The processes that have the store open. One that is paused counts; one that has died doesn't. */
export function listPresent(
  directory: string,
  nativeBinding: string | undefined,
): (Present & { id: string })[] {
  const folder = join(directory, FOLDER)
  return idsIn(folder)
    .filter((id) => isAlive(folder, id, nativeBinding))
    .flatMap((id) => {
      const told = read(folder, id)
      return told ? [{ ...told, id }] : []
    })
}

/** Has the process with that id died, or left? One that is paused has not. */
export function hasDied(directory: string, nativeBinding: string | undefined, id: string): boolean {
  const folder = join(directory, FOLDER)
  return !existsSync(join(folder, `${id}.lock`)) || !isAlive(folder, id, nativeBinding)
}

/** Processes as a message names them. */
export const describePresent = (processes: Present[]): string =>
  processes.map(({ pid, command }) => `${pid} (${command})`).join(', ')

function idsIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.lock'))
    .map((name) => name.slice(0, -'.lock'.length))
}

function isAlive(folder: string, id: string, nativeBinding: string | undefined): boolean {
  const path = join(folder, `${id}.lock`)
  try {
    const lock = new Database(path, { fileMustExist: true, timeout: 0, nativeBinding })
    try {
      return isHeld(lock)
    } finally {
      lock.close()
    }
  } catch (error) {
    // It left in between.
    if (!existsSync(path)) return false
    throw error
  }
}

/** By another connection, that is; if not, this one holds it now. */
function isHeld(lock: Database.Database): boolean {
  try {
    lock.exec('begin immediate')
    return false
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return true
    throw error
  }
}

/** Only under the start lock: another that starts has made its file, but not locked it yet. */
function removeDead(folder: string, nativeBinding: string | undefined): void {
  for (const id of idsIn(folder)) if (!isAlive(folder, id, nativeBinding)) remove(folder, id)
}

function remove(folder: string, id: string): void {
  for (const end of ['.json', '.lock', '.lock-journal']) {
    rmSync(join(folder, id + end), { force: true })
  }
}

function write(folder: string, id: string, told: Present): void {
  replaceFile(join(folder, `${id}.json`), JSON.stringify(told))
}

/** `null`: it left in between. */
function read(folder: string, id: string): Present | null {
  try {
    return JSON.parse(readFileSync(join(folder, `${id}.json`), 'utf8')) as Present
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
