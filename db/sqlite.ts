import type Database from 'better-sqlite3'
import { adminMethods } from './sqlite/admins.ts'
import { appMethods } from './sqlite/apps.ts'
import { bulkMethods } from './sqlite/bulk.ts'
import { connectionMethods } from './sqlite/connections.ts'
import { deviceCodeMethods } from './sqlite/device-codes.ts'
import { createEngine } from './sqlite/engine.ts'
import { eventMethods } from './sqlite/events.ts'
import { flowMethods } from './sqlite/flows.ts'
import { keyMethods } from './sqlite/keys.ts'
import { leaseMethods } from './sqlite/leases.ts'
import { listingMethods } from './sqlite/listing.ts'
import { metaMethods } from './sqlite/meta.ts'
import { proofMethods } from './sqlite/proofs.ts'
import { movingMethods } from './sqlite/moving.ts'
import { purgeMethods } from './sqlite/purge.ts'
import { refreshMethods } from './sqlite/refresh.ts'
import { resealMethods } from './sqlite/reseal.ts'
import { revokeMethods } from './sqlite/revoke.ts'
import { createSealedValues } from './sqlite/sealed.ts'
import { secondFactorMethods } from './sqlite/second-factors.ts'
import { sessionMethods } from './sqlite/sessions.ts'
import { swapMethods } from './sqlite/swap.ts'
import { upkeepMethods } from './sqlite/upkeep.ts'
import { usageMethods } from './sqlite/usage.ts'
import type { Store } from './store.ts'

/**
 * The Store contract on SQLite, a group of methods a file.
 * @param client an open connection as db/open.ts makes it; `close()` closes it
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
    ...movingMethods(engine, sealedValues),
  }
}
