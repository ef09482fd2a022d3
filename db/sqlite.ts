import type Database from 'better-sqlite3'
import type { Store } from './store.ts'
import { adminMethods } from './sqlite/admins.ts'
import { appMethods } from './sqlite/apps.ts'
import { connectionMethods } from './sqlite/connections.ts'
import { createEngine } from './sqlite/engine.ts'
import { eventMethods } from './sqlite/events.ts'
import { flowMethods } from './sqlite/flows.ts'
import { keyMethods } from './sqlite/keys.ts'
import { refreshMethods } from './sqlite/refresh.ts'
import { revokeMethods } from './sqlite/revoke.ts'
import { createSealedValues } from './sqlite/sealed.ts'
import { swapMethods } from './sqlite/swap.ts'
import { upkeepMethods } from './sqlite/upkeep.ts'

/** The Store contract on an open SQLite database; db/open.ts opens one. */
export function createSqliteStore(client: Database.Database): Store {
  const engine = createEngine(client)
  const sealed = createSealedValues(engine)
  return {
    ...appMethods(engine, sealed),
    ...flowMethods(engine, sealed),
    ...connectionMethods(engine, sealed),
    ...refreshMethods(engine, sealed),
    ...swapMethods(engine),
    ...revokeMethods(engine, sealed),
    ...keyMethods(engine, sealed),
    ...adminMethods(engine),
    ...eventMethods(engine),
    ...upkeepMethods(engine, sealed),
  }
}
