import type Database from 'better-sqlite3'
import { adminMethods } from './admins.ts'
import { appMethods } from './apps.ts'
import { bulkMethods } from './bulk.ts'
import { connectionMethods } from './connections.ts'
import { deviceCodeMethods } from './device-codes.ts'
import { createEngine } from './engine.ts'
import { eventMethods } from './events.ts'
import { flowMethods } from './flows.ts'
import { keyMethods } from './signing-keys.ts'
import { leaseMethods } from './leases.ts'
import { listingMethods } from './listing.ts'
import { metaMethods } from './meta.ts'
import { proofMethods } from './proofs.ts'
import { dataOwnershipMethods } from './data-ownership.ts'
import { purgeMethods } from './purge.ts'
import { refreshMethods } from './refresh.ts'
import { resealMethods } from './reseal.ts'
import { revokeMethods } from './revoke.ts'
import { createSealedValues } from './sealed.ts'
import { secondFactorMethods } from './second-factors.ts'
import { sessionMethods } from './sessions.ts'
import { swapMethods } from './swap.ts'
import { upkeepMethods } from './upkeep.ts'
import { usageMethods } from './usage.ts'
import type { Store } from '../store.ts'

/**
 * The Store contract on SQLite, a group of methods a file.
 * @param client an open connection as db/data-directory/open.ts makes it; `close()` closes it
 */
export function createSqliteStore(client: Database.Database): Store {
  const engine = createEngine(client)
  const sealedValues = createSealedValues(engine)
  return {
    ...metaMethods(engine),
    ...appMethods(engine, sealedValues),
    ...flowMethods(engine, sealedValues),
    ...deviceCodeMethods(engine),
    ...connectionMethods(engine, sealedValues),
    ...listingMethods(engine),
    ...leaseMethods(engine),
    ...refreshMethods(engine, sealedValues),
    ...swapMethods(engine),
    ...usageMethods(engine),
    ...revokeMethods(engine, sealedValues),
    ...bulkMethods(engine, sealedValues),
    ...keyMethods(engine, sealedValues),
    ...adminMethods(engine, sealedValues),
    ...sessionMethods(engine),
    ...secondFactorMethods(engine, sealedValues),
    ...eventMethods(engine),
    ...proofMethods(engine),
    ...purgeMethods(engine),
    ...upkeepMethods(engine, sealedValues),
    ...resealMethods(engine),
    ...dataOwnershipMethods(engine, sealedValues),
  }
}
