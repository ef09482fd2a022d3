import { StoreTooNewError, StoreUnavailableError } from '../../db/errors.ts'
import { READ_ONLY } from '../../db/postgres/connection.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { MessageName } from '../operate/messages.ts'
import { explainStoreError, startError } from './start-error.ts'

const MIN_VERSION = 140_000

type Messages = [pattern: RegExp, name: MessageName][]

/** Why a connection can't be made, by code and text of the error: pg gives no code to its own. */
const CONNECT_MESSAGES: Messages = [
  [new RegExp(`^${READ_ONLY} `), 'start.database-read-only'],
  [/^53300 /, 'start.database-full'],
  [/^53/, 'start.database-resources'],
  [/^28/, 'start.database-refused'],
  [/^3D000 /, 'start.database-missing'],
  [/^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/, 'start.database-untrusted'],
  [/server does not support SSL/, 'start.database-no-tls'],
  [/^(ENOENT|EACCES|EISDIR) .*, (open|read)\b/, 'start.database-ca-unreadable'],
]

/** Why the broker can't work with the tables; others are bugs. */
const TABLE_MESSAGES: Messages = [
  [/^(0A000|58P01) /, 'start.database-extension'],
  [/^(42501|42P01|42703|42883|3F000) /, 'start.database-tables'],
]

/**
 * A handler of errors of connecting to PostgreSQL, and of looking at it. No error of pg contains the password.
 * @throws StartError
 */
export const explainConnectError =
  (address: string) =>
  (error: unknown): never => {
    const problem = describe(error)
    if (NO_PASSWORD.test(problem)) {
      const values = { address, problem: 'it asks for a password, and none is set' }
      throw startError('start.database-refused', values)
    }
    const name =
      find([...CONNECT_MESSAGES, ...TABLE_MESSAGES], error) ?? 'start.database-unreachable'
    throw startError(name, { address, problem }, error)
  }

/** Errors of pg itself have no code. */
const NO_PASSWORD = /password must be a string/

/** Why it can't be reached; of several addresses of a host, the first one. */
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

/** The same for errors of a store that was opened. @throws StartError, or the error */
export const explainDatabaseError =
  (address: string) =>
  (error: unknown): never => {
    if (error instanceof StoreTooNewError) throw startError('start.newer', { file: address })
    explainStoreError(address, error)
    if (error instanceof StoreUnavailableError) return explainConnectError(address)(rootOf(error))
    const name = find(TABLE_MESSAGES, error)
    if (name === undefined) throw error
    throw startError(name, { address, problem: describe(rootOf(error)) }, error)
  }

function find(messages: Messages, error: unknown): MessageName | undefined {
  const { code = '', message = '' } = rootOf(error) as { code?: string; message?: string }
  return messages.find(([pattern]) => pattern.test(`${code} ${message}`))?.[1]
}

/** Drizzle and the pool wrap errors of pg. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error
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
