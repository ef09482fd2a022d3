import { copiedTables } from '../../db/copy/tables.ts'
import { connect } from '../../db/postgres/connection.ts'
import { readServerMeta, readServerState } from '../../db/postgres/server-state.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { clientOf } from './database-client.ts'
import { explainConnectError } from './database-error.ts'

const TABLES = copiedTables.map(({ name }) => name)

/**
 * Looks at a database that is not opened, and changes nothing.
 * @param waitMs how long a server is waited for that starts, or has no connection to spare
 * @returns `meta` is empty if no broker has created its tables
 * @throws StartError
 */
export async function inspectServer(
  database: DatabaseUrl,
  waitMs = 0,
): Promise<{ state: ServerState; meta: Record<string, string> }> {
  const explain = explainConnectError(database.address)
  const client = await connect(clientOf(database), { waitMs }).catch(explain)
  try {
    const state = await readServerState(client, TABLES)
    return { state, meta: state.hasTables ? await readServerMeta(client) : {} }
  } catch (error) {
    return explain(error)
  } finally {
    await client.end()
  }
}
