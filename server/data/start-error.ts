import { accessSync, constants, lstatSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describeProcesses } from '../../db/coordination.ts'
import {
  KeptCopyError,
  LockHeldError,
  OlderProcessesError,
  StoreTooNewError,
} from '../../db/errors.ts'
import { formatMessage, messages } from '../operate/messages.ts'
import type { MessageName, MessageValues } from '../operate/messages.ts'

/** The broker can't start; the message says what to do. */
export class StartError extends Error {
  override name = 'StartError'
  readonly exitCode: number

  constructor(
    message: string,
    { exitCode = 2, cause }: { exitCode?: number; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.exitCode = exitCode
  }
}

/** A message with its exit code, as an error. */
export const startError = (
  name: MessageName,
  values: MessageValues = {},
  cause?: unknown,
): StartError =>
  new StartError(formatMessage(name, values), { exitCode: messages[name].exit, cause })

/** SQLite's error codes for a damaged file, or one that is not a database. */
export const DAMAGED_CODE = /^SQLITE_(NOTADB|CORRUPT)/

type MessagesByCode = [name: MessageName, codes: RegExp][]

const DATA_MESSAGES: MessagesByCode = [
  ['start.disk-full', /^(ENOSPC|EDQUOT|SQLITE_FULL|SQLITE_IOERR_SHMSIZE)$/],
  ['start.no-access', /^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|SQLITE_(READONLY|CANTOPEN).*)$/],
  ['start.damaged', DAMAGED_CODE],
  ['start.locked', /^SQLITE_BUSY/],
]

const LISTEN_MESSAGES: MessagesByCode = [
  ['serve.port-in-use', /^EADDRINUSE$/],
  ['serve.address-unavailable', /^(EACCES|EADDRNOTAVAIL|ENOTFOUND|EAI_.*)$/],
]

/**
 * A handler of errors of the data directory: known ones become a StartError, others are rethrown.
 * @throws StartError, or the error
 */
export const explainDataError =
  (directory: string) =>
  (error: unknown): never => {
    if (error instanceof StoreTooNewError) throw startError('start.newer', { file: error.file })
    explainStoreError(directory, error)
    if (error instanceof KeptCopyError) {
      throw startError('start.copy-failed', { file: error.file }, error.cause)
    }
    explainForeignFile(directory, error)
    return explainByCode(error, DATA_MESSAGES, { directory })
  }

/**
 * Other processes that any engine refuses to open a store beside.
 * @param place the data directory, or the address of the database
 * @throws StartError
 */
export function explainStoreError(place: string, error: unknown): void {
  if (error instanceof LockHeldError) throw startError('start.locked', { directory: place }, error)
  if (error instanceof OlderProcessesError) {
    const processes = describeProcesses(error.processes)
    const migrations = error.migrations.join(', ')
    throw startError('start.older-in-use', { directory: place, processes, migrations })
  }
}

/** @throws StartError if this user lacks access, and a file in the directory belongs to another user than it */
function explainForeignFile(directory: string, error: unknown): void {
  const { code } = error as { code?: unknown }
  if (!/^(EACCES|EPERM|SQLITE_(READONLY|CANTOPEN).*)$/.test(String(code))) return
  const found = findForeignFile(directory)
  if (!found) return
  throw startError('start.foreign-file', { ...found, directory }, error)
}

/** The first file of the store that belongs to another user than the data directory, by ids of users. */
function findForeignFile(directory: string): { file: string; user: string; owner: string } | null {
  try {
    const { uid: owner } = statSync(directory)
    for (const name of readdirSync(directory).filter((name) => STORE_FILE.test(name))) {
      const file = join(directory, name)
      const { uid } = lstatSync(file)
      if (uid !== owner) return { file, user: String(uid), owner: String(owner) }
    }
  } catch {
    // The error that is explained says more.
  }
  return null
}

const STORE_FILE = /^(broker\.db(-wal|-shm)?|secret\.key|start\.lock|running)$/

/**
 * The same for errors of listening on an address.
 * @throws StartError, or the error
 */
export const explainListenError =
  ({ host, port }: { host: string; port: number }) =>
  (error: unknown): never =>
    explainByCode(error, LISTEN_MESSAGES, { host, port: String(port) })

/** The same for the directory of the cache. @throws StartError */
export const explainCacheError = (error: unknown): never => {
  const problem = error instanceof Error ? error.message : String(error)
  throw startError('serve.cache-unusable', { problem })
}

/**
 * Checks the program of BROKER_ON_EVENT before the broker serves: otherwise the first event would tell.
 * @throws StartError
 */
export function checkEventProgram(program: string): void {
  const problem = programProblem(program)
  if (problem) {
    throw startError('serve.on-event-unusable', { program, problem })
  }
}

/** Why a program can’t be run; `null`: it can. */
export function programProblem(program: string): string | null {
  try {
    if (!statSync(program).isFile()) return 'is not a file'
    accessSync(program, constants.X_OK)
    return null
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return 'does not exist'
    return code === 'EACCES' ? 'is not executable' : `can’t be read (${code})`
  }
}

function explainByCode(error: unknown, messages: MessagesByCode, values: MessageValues): never {
  const { code } = error as { code?: unknown }
  const [name] = messages.find(([, codes]) => codes.test(String(code))) ?? []
  if (name === undefined) throw error
  throw startError(name, values, error)
}
