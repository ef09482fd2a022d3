import { createClientClass } from '../../db/postgres/connection.ts'
import type { NewClient } from '../../db/postgres/connection.ts'
import type { DatabaseUrl } from '../config/database-url.ts'

const clients = new WeakMap<DatabaseUrl, NewClient>()

/** What connects to a database. All parts of the process share what it knows of its servers. */
export function clientOf(database: DatabaseUrl): NewClient {
  const known = clients.get(database)
  if (known) return known
  const created = createClientClass(database.urls.map((url) => url.reveal()))
  clients.set(database, created)
  return created
}
