import { StoreTooNewError, StoreUnavailableError } from '../../db/errors.ts'
import { isOfDatabase } from '../../db/postgres/failures.ts'
import { READ_ONLY } from '../../db/postgres/connection.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { MessageName } from '../operate/messages.ts'
import { explainStoreError, startError } from './start-error.ts'

const MIN_VERSION = 140_000

/** By code and text of an error, as pg gives no codes to its own; the first that matches. */
const MESSAGES: [pattern: RegExp, name: MessageName][] = [
  [new RegExp(`^${READ_ONLY} `), 'start.database-read-only'],
  [/^53300 /, 'start.database-full'],
  [/^53/, 'start.database-resources'],
  [/^28|^ .*password must be a string/, 'start.database-refused'],
  [/^3D000 /, 'start.database-missing'],
  [/^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/, 'start.database-untrusted'],
  [/^ .*server does not support SSL/, 'start.database-no-tls'],
  [/^(ENOENT|EACCES|EISDIR) .*, (open|read)\b/, 'start.database-ca-unreadable'],
  [/^(ETIMEDOUT| .*timeout)/, 'start.database-silent'],
  [/^(08|57P|25P03|ECONNRESET|EPIPE| .*terminated| .*not queryable)/, 'start.database-lost'],
  [/^(0A000|58P01) /, 'start.database-extension'],
  [/^(42501|42P01|42703|42883|3F000) /, 'start.database-tables'],
  // Any other SQLSTATE.
  [/^(?=.{0,4}\d)[\dA-Z]{5} /, 'start.database-error'],
]

/**
 * A handler of errors of PostgreSQL and of connections to it. No error of pg contains the password.
 * @throws StartError
 */
export const explainConnectError =
  (address: string) =>
  (error: unknown): never => {
    const root = rootOf(error)
    const { code = '', message } = root
    const [, name = 'start.database-unreachable'] =
      MESSAGES.find(([pattern]) => pattern.test(`${code} ${message}`)) ?? []
    const problem = message.includes('password must be a string')
      ? 'it asks for a password, and none is set'
      : message
    throw startError(name, { address, problem, code }, root)
  }

/** The same for errors of a store that was opened. @throws StartError, or the error if it is not the database's */
export const explainDatabaseError =
  (address: string) =>
  (error: unknown): never => {
    if (error instanceof StoreTooNewError) throw startError('start.newer', { file: address })
    explainStoreError(address, error)
    if (error instanceof StoreUnavailableError || isOfDatabase(error))
      return explainConnectError(address)(error)
    throw error
  }

/** Drizzle and the pool wrap errors of pg; a host may have several addresses. */
export function rootOf(error: unknown): { code?: string; message: string } {
  if (error instanceof AggregateError && error.errors.length > 0) return rootOf(error.errors[0])
  const { cause, message } = error as Error
  // The cause of that one is its consequence.
  if (cause === undefined || message.endsWith('connection timeout')) return error as Error
  return rootOf(cause)
}

/**
 * Refuses a server that would lose data, or on which the broker can't work.
 * @throws StartError
 */
export function checkServer(state: ServerState, address: string): void {
  const refuse = (name: MessageName, values = {}): never => {
    throw startError(name, { address, ...values })
  }
  const { version, versionText, synchronousCommit, user, schema } = state
  if (version < MIN_VERSION) refuse('start.database-old', { version: versionText })
  if (state.isPooled) refuse('start.database-pooler')
  if (synchronousCommit === 'off') refuse('start.database-asynchronous', { user })
  if (state.hasTables && state.unusableTables.length > 0) {
    const problem = `missing, or not this user’s: ${state.unusableTables.join(', ')}`
    refuse('start.database-tables', { problem })
  }
  if (!state.canCreate) refuse('start.database-rights', { user, schema: schema ?? 'public' })
}
