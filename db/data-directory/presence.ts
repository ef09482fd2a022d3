import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { RunningProcess } from '../coordination.ts'
import { makeDirectory, openFile, replaceFile } from './files.ts'

/** The registration of this process: a reference keeps its lock from being garbage collected. */
interface FilePresence {
  id: string
  setKeyIds(keyIds: string[]): void
  unregister(): void
}

/** In the data directory: for each process a lock file, released when it dies, and a description. */
const FOLDER = 'running'
/** Testing whether a lock is held takes it for an instant; on a busy machine, for longer. */
const LOCK_TIMEOUT_MS = 5000

/**
 * Registers this process as having the store open, until it unregisters or dies, however it dies: the operating
 * system releases the lock. Call it under the start lock.
 */
export function registerProcess(
  directory: string,
  nativeBinding: string | undefined,
  info: RunningProcess,
): FilePresence {
  const folder = join(directory, FOLDER)
  makeDirectory(folder)
  removeDead(folder, nativeBinding)
  const id = `${info.pid}-${randomBytes(6).toString('hex')}`
  const lock = openFile(folder, `${id}.lock`, nativeBinding, LOCK_TIMEOUT_MS)
  lock.exec('begin immediate')
  write(folder, id, info)
  return {
    id,
    setKeyIds: (keyIds) => write(folder, id, { ...info, keyIds }),
    unregister() {
      rmSync(join(folder, `${id}.json`), { force: true })
      lock.close()
      remove(folder, id)
    },
  }
}

/** The processes that have the store open. A paused process counts as alive. */
export function listProcesses(
  directory: string,
  nativeBinding: string | undefined,
): (RunningProcess & { id: string })[] {
  const folder = join(directory, FOLDER)
  return idsIn(folder)
    .filter((id) => isAlive(folder, id, nativeBinding))
    .flatMap((id) => {
      const info = read(folder, id)
      return info ? [{ ...info, id }] : []
    })
}

/** Has the process with that id died or unregistered? A paused process counts as alive. */
export function hasDied(directory: string, nativeBinding: string | undefined, id: string): boolean {
  const folder = join(directory, FOLDER)
  return !existsSync(join(folder, `${id}.lock`)) || !isAlive(folder, id, nativeBinding)
}

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
    // It unregistered in between.
    if (!existsSync(path)) return false
    throw error
  }
}

/** By another connection; if not, this connection holds it now. */
function isHeld(lock: Database.Database): boolean {
  try {
    lock.exec('begin immediate')
    return false
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return true
    throw error
  }
}

/** Only under the start lock: otherwise a starting process may have created its file, but not locked it yet. */
function removeDead(folder: string, nativeBinding: string | undefined): void {
  for (const id of idsIn(folder)) if (!isAlive(folder, id, nativeBinding)) remove(folder, id)
}

function remove(folder: string, id: string): void {
  for (const end of ['.json', '.lock', '.lock-journal']) {
    rmSync(join(folder, id + end), { force: true })
  }
}

function write(folder: string, id: string, info: RunningProcess): void {
  replaceFile(join(folder, `${id}.json`), JSON.stringify(info))
}

/** `null`: it unregistered in between. */
function read(folder: string, id: string): RunningProcess | null {
  try {
    return JSON.parse(readFileSync(join(folder, `${id}.json`), 'utf8')) as RunningProcess
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
