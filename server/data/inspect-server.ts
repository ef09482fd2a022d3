import { connect } from '../../db/postgres/connection.ts'
import { readServerMeta, readServerState } from '../../db/postgres/server-state.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { clientOf } from './database-client.ts'
import { explainConnectError } from './database-error.ts'

/**
 * Looks at a database that is not opened, and changes nothing.
 * @returns `meta` is empty if no broker has created its tables
 * @throws StartError
 */
export async function inspectServer(
  database: DatabaseUrl,
): Promise<{ state: ServerState; meta: Record<string, string> }> {
  const client = await connect(clientOf(database)).catch(explainConnectError(database.address))
  try {
    const state = await readServerState(client)
    return { state, meta: state.hasTables ? await readServerMeta(client) : {} }
  } finally {
    await client.end()
  }
}
