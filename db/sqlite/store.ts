import type Database from 'better-sqlite3'
import { adminMethods } from './admins.ts'
import { appMethods } from './apps.ts'
import { bulkMethods } from './bulk.ts'
import { connectionMethods } from './connections.ts'
import { createEngine } from './engine.ts'
import { eventMethods } from './events.ts'
import { authorizationMethods } from './authorization.ts'
import { grantMethods } from './grants.ts'
import { linkMethods } from './links.ts'
import { listingMethods } from './listing.ts'
import { outboxMethods } from './outbox.ts'
import { passkeyMethods } from './passkeys.ts'
import { purgeMethods } from './purge.ts'
import { refreshMethods } from './refresh.ts'
import { resealMethods } from './reseal.ts'
import { revokeMethods } from './revoke.ts'
import { createSealedValues } from './sealed.ts'
import { sessionMethods } from './sessions.ts'
import { signingKeyMethods } from './signing-keys.ts'
import { sweepMethods } from './sweep.ts'
import { upkeepMethods } from './upkeep.ts'
import { usageMethods } from './usage.ts'
import { webhookMethods } from './webhooks.ts'
import type { Store } from '../store.ts'

/**
 * The Store contract on SQLite: one file for each group of methods.
 * @param client an open connection from db/data-directory/open.ts; `close()` closes it
 * @param steady the clock of leases, milliseconds; the same in all processes. Default: the machine's
 */
export function createSqliteStore(client: Database.Database, steady?: () => number): Store {
  const engine = createEngine(client, steady)
  const sealedValues = createSealedValues(engine)
  return {
    ...appMethods(engine),
    ...authorizationMethods(engine),
    ...grantMethods(engine),
    ...linkMethods(engine),
    ...connectionMethods(engine, sealedValues),
    ...revokeMethods(engine, sealedValues),
    ...listingMethods(engine),
    ...refreshMethods(engine, sealedValues),
    ...bulkMethods(engine, sealedValues),
    ...adminMethods(engine, sealedValues),
    ...passkeyMethods(engine),
    ...sessionMethods(engine),
    ...eventMethods(engine),
    ...webhookMethods(engine, sealedValues),
    ...outboxMethods(engine),
    ...usageMethods(engine),
    ...signingKeyMethods(engine, sealedValues),
    ...resealMethods(engine),
    ...purgeMethods(engine),
    ...sweepMethods(engine),
    ...upkeepMethods(engine),
  }
}
