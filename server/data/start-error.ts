import { KeptCopyError } from '../../db/data-directory/copy.ts'
import { StoreTooNewError } from '../../db/data-directory/open.ts'
import { message } from '../operate/messages.ts'
import type { MessageName, Values } from '../operate/messages.ts'

/** The broker can't start; the message says what to do. */
export class StartError extends Error {
  override name = 'StartError'
}

/** Codes of SQLite for a file that is broken, or no database. */
export const DAMAGE = /^SQLITE_(NOTADB|CORRUPT)/

type Codes = [name: MessageName, RegExp][]

/** Codes of the system and of SQLite where the data can't be worked with, by what is said of them. */
const OF_DATA: Codes = [
  ['start.full', /^(ENOSPC|EDQUOT|SQLITE_FULL|SQLITE_IOERR_SHMSIZE)$/],
  ['start.closed', /^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|SQLITE_(READONLY|CANTOPEN).*)$/],
  ['start.damaged', DAMAGE],
  ['start.busy', /^SQLITE_BUSY/],
]

/** Codes of the system where an address can't be listened on. */
const OF_ADDRESS: Codes = [
  ['serve.port', /^EADDRINUSE$/],
  ['serve.address', /^(EACCES|EADDRNOTAVAIL|ENOTFOUND|EAI_.*)$/],
]

/**
 * Says what to do where work on a data directory fails for what it lies on. Other errors go on as they are.
 * @throws StartError, or the error
 */
export const explain =
  (directory: string) =>
  (error: unknown): never => {
    if (error instanceof StoreTooNewError) {
      throw new StartError(message('start.newer', { file: error.file }))
    }
    if (error instanceof KeptCopyError) {
      throw new StartError(message('start.no-copy', { file: error.file }), { cause: error.cause })
    }
    return say(error, OF_DATA, { directory })
  }

/**
 * The same where an address can't be listened on.
 * @throws StartError, or the error
 */
export const explainAddress =
  ({ host, port }: { host: string; port: number }) =>
  (error: unknown): never =>
    say(error, OF_ADDRESS, { host, port: String(port) })

function say(error: unknown, codes: Codes, values: Values): never {
  const { code } = error as { code?: unknown }
  const [name] = codes.find(([, pattern]) => pattern.test(String(code))) ?? []
  if (name === undefined) throw error
  throw new StartError(message(name, values), { cause: error })
}
