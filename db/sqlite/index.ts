import type Database from 'better-sqlite3'
import type { Store } from '../store.ts'
import { adminMethods } from './admins.ts'
import { appMethods } from './apps.ts'
import { connectionMethods } from './connections.ts'
import { createEngine } from './engine.ts'
import { eventMethods } from './events.ts'
import { flowMethods } from './flows.ts'
import { keyMethods } from './keys.ts'
import { metaMethods } from './meta.ts'
import { purgeMethods } from './purge.ts'
import { refreshMethods } from './refresh.ts'
import { revokeMethods } from './revoke.ts'
import { createSealedValues } from './sealed.ts'
import { swapMethods } from './swap.ts'
import { upkeepMethods } from './upkeep.ts'

/**
 * The Store contract on SQLite, a group of methods a file.
 * @param client an open connection as `openStore` makes it; the store closes it
 */
export function createSqliteStore(client: Database.Database): Store {
  const engine = createEngine(client)
  const sealedValues = createSealedValues(engine)
  return {
    ...metaMethods(engine),
    ...appMethods(engine, sealedValues),
    ...flowMethods(engine, sealedValues),
    ...connectionMethods(engine, sealedValues),
    ...refreshMethods(engine, sealedValues),
    ...swapMethods(engine),
    ...revokeMethods(engine, sealedValues),
    ...purgeMethods(engine),
    ...keyMethods(engine, sealedValues),
    ...adminMethods(engine),
    ...eventMethods(engine),
    ...upkeepMethods(engine, sealedValues),
  }
}
