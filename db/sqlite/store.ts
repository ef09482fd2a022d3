import type Database from 'better-sqlite3'
import { sqlMethods } from '../sql/store.ts'
import type { Store } from '../store.ts'
import { createEngine } from './engine.ts'
import { purgeMethods } from './purge.ts'
import { createSealedValues } from './sealed.ts'
import { upkeepMethods } from './upkeep.ts'

/**
 * The Store contract on SQLite.
 * @param client an open connection from db/data-directory/open.ts; `close()` closes it
 * @param steady the clock of leases, milliseconds; the same in all processes. Default: the machine's
 */
export function createSqliteStore(client: Database.Database, steady?: () => number): Store {
  const engine = createEngine(client, steady)
  return {
    ...sqlMethods(engine, createSealedValues(engine)),
    ...purgeMethods(engine),
    ...upkeepMethods(engine),
  }
}
