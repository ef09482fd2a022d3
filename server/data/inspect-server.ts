import { copiedTables } from '../../db/copy/tables.ts'
import { connect, createClientClass } from '../../db/postgres/connection.ts'
import { readServerMeta, readServerState } from '../../db/postgres/server-state.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { explainConnectError } from './database-error.ts'

const TABLES = copiedTables.map(({ name }) => name)

/**
 * Looks at a database that is not opened, and changes nothing.
 * @param waitMs how long a server is waited for that starts, or has no connection to spare
 * @returns `meta` is empty if no broker has created its tables
 * @throws StartError
 */
export async function inspectServer(
  { urls, address }: DatabaseUrl,
  waitMs = 0,
): Promise<{ state: ServerState; meta: Record<string, string> }> {
  const Client = createClientClass(urls.map((url) => url.reveal()))
  const explain = explainConnectError(address)
  const client = await connect(Client, urls.length, waitMs).catch(explain)
  try {
    const state = await readServerState(client, TABLES)
    return { state, meta: state.hasTables ? await readServerMeta(client) : {} }
  } catch (error) {
    return explain(error)
  } finally {
    await client.end()
  }
}
