import pg from 'pg'
import { StoreUnavailableError } from '../errors.ts'

/** The connection failed rather than a statement: with no answer, or with an error of a new connection. */
export class ConnectionError extends Error {
  /** The SQLSTATE or the code of Node's error, if there is one. */
  readonly code: string

  constructor(cause: unknown) {
    super('the connection to PostgreSQL failed', { cause })
    this.code = codeOf(cause) || 'CONNECTION_LOST'
  }
}

/** A handler of errors of pg. @throws DatabaseError if the server answered with an error, otherwise ConnectionError */
export function failConnection(error: unknown): never {
  throw error instanceof pg.DatabaseError ? error : new ConnectionError(error)
}

/** Is an error the database's or the connection's, rather than one of the work itself? */
export const isOfDatabase = (error: unknown): boolean =>
  error instanceof pg.DatabaseError ||
  error instanceof ConnectionError ||
  // Drizzle wraps errors of statements.
  (error instanceof Error && isOfDatabase(error.cause))

/** The SQLSTATE of a table that does not exist. */
export const NO_TABLE = '42P01'

/** The SQLSTATE, or the code of Node's error; empty: it has none. */
export function codeOf(error: unknown): string {
  // An address that was tried for each family.
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  const { code } = error instanceof Error ? (error as { code?: unknown }) : {}
  return typeof code === 'string' ? code : ''
}

/**
 * What to do after an error:
 * - `collided`: with another transaction, which the next attempt sees; this one took no effect.
 * - `broken`: the connection is not used again. The work may be repeated, as it was not committed.
 * - `unavailable`: the server can't do it now, and does not promise to be able to in a few seconds.
 * - `final`: a bug, or an outcome that is already for the caller.
 */
export type Kind = 'collided' | 'broken' | 'unavailable' | 'final'

/** By SQLSTATE; the first that matches. */
const KINDS: [RegExp, Kind][] = [
  // Serialization failure, deadlock, a lock that was not available. A constraint can fail by a race, too.
  [/^(40001|40P01|55P03|23...)$/, 'collided'],
  // The server restarts (57P), is no longer the primary (25006; 0A000: serializable mode on a standby) or ended an
  // idle transaction; prepared statements were changed (0A000) or lost (26000, 42P05) by a migration or a proxy;
  // errors of the system or of the server itself (58, XX) may not meet another of its processes.
  [/^(08...|57P..|58...|XX...|0A000|25006|25P03|26000|42P05|53300)$/, 'broken'],
  // No space, no memory, or somebody cancelled the statement.
  [/^(53...|57014)$/, 'unavailable'],
]

/** Errors of the work itself have no SQLSTATE, whatever their codes and messages: they are bugs. */
export function classify(error: unknown): { kind: Kind; code: string } {
  if (error instanceof ConnectionError) return { kind: 'broken', code: error.code }
  if (error instanceof pg.DatabaseError) {
    const { code = '' } = error
    const kind = KINDS.find(([codes]) => codes.test(code))?.[1] ?? 'final'
    return { kind, code }
  }
  // Drizzle wraps errors of statements.
  if (error instanceof Error && error.cause && !(error instanceof StoreUnavailableError))
    return classify(error.cause)
  return { kind: 'final', code: '' }
}
