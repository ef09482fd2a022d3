import { connect, createClientClass } from '../../db/postgres/connection.ts'
import type { NewClient } from '../../db/postgres/connection.ts'
import { readServerMeta, readServerState } from '../../db/postgres/server-state.ts'
import type { ServerState } from '../../db/postgres/server-state.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { explainConnectError } from './database-error.ts'

/**
 * Looks at a database that is not opened, and changes nothing.
 * @returns `meta` is empty if no broker has created its tables. `Client` begins with the server that took writes: the
 *   first of the list may be a standby since a failover
 * @throws StartError
 */
export async function inspectServer({
  urls,
  address,
}: DatabaseUrl): Promise<{ state: ServerState; meta: Record<string, string>; Client: NewClient }> {
  const Client = createClientClass(urls.map((url) => url.reveal()))
  const client = await connect(Client, urls.length).catch(explainConnectError(address))
  try {
    const state = await readServerState(client)
    return { state, meta: state.hasTables ? await readServerMeta(client) : {}, Client }
  } finally {
    await client.end()
  }
}
