import { KeptCopyError } from '../db/copy.ts'
import { StoreTooNewError } from '../db/open.ts'
import { message } from './operate/messages.ts'

/** The broker can't start; the message says what to do. */
export class StartError extends Error {
  override name = 'StartError'
}

/** Codes of SQLite for a file that is broken, or no database. */
export const DAMAGE = /^SQLITE_(NOTADB|CORRUPT)/

/** Codes of the system and of SQLite where the data can't be worked with, by what is said of them. */
const CODES: [name: 'start.full' | 'start.closed' | 'start.damaged' | 'start.busy', RegExp][] = [
  ['start.full', /^(ENOSPC|EDQUOT|SQLITE_FULL|SQLITE_IOERR_SHMSIZE)$/],
  ['start.closed', /^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|SQLITE_(READONLY|CANTOPEN).*)$/],
  ['start.damaged', DAMAGE],
  ['start.busy', /^SQLITE_BUSY/],
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
    const { code } = error as { code?: unknown }
    const [name] = CODES.find(([, pattern]) => pattern.test(String(code))) ?? []
    if (name === undefined) throw error
    throw new StartError(message(name, { directory }), { cause: error })
  }
