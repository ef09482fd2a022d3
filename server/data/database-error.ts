import { StoreTooNewError, StoreUnavailableError } from '../../db/errors.ts'
import { READ_ONLY } from '../../db/postgres/connection.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { MessageName } from '../operate/messages.ts'
import { explainStoreError, startError } from './start-error.ts'

const MIN_VERSION = 140_000

/** By code and text of an error: pg gives no code to its own. */
const CONNECT_MESSAGES: [MessageName, RegExp][] = [
  ['start.database-read-only', new RegExp(`^${READ_ONLY} `)],
  ['start.database-untrusted', /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/],
  ['start.database-no-tls', /server does not support SSL/],
  ['start.database-ca-unreadable', /^(ENOENT|EACCES|EISDIR) .*, (open|read)\b/],
]

/**
 * A handler of errors of connecting to PostgreSQL. No error of pg contains the password.
 * @throws StartError
 */
export const explainConnectError =
  (address: string) =>
  (error: unknown): never => {
    const { code = '', message } = error as { code?: string; message?: string }
    const known = CONNECT_MESSAGES.find(([, pattern]) => pattern.test(`${code} ${message}`))
    const values = { address, problem: describe(error) }
    throw startError(known?.[0] ?? 'start.database-unreachable', values, error)
  }

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
    if (error instanceof StoreUnavailableError) return explainConnectError(address)(error)
    throw error
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
  if (!state.canCreate) refuse('start.database-rights', { user, schema: schema ?? 'public' })
}
