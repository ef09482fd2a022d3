import { adminMethods } from '../sqlite/admins.ts'
import { appMethods } from '../sqlite/apps.ts'
import { authorizationMethods } from '../sqlite/authorization.ts'
import { bulkMethods } from '../sqlite/bulk.ts'
import { connectionMethods } from '../sqlite/connections.ts'
import { eventMethods } from '../sqlite/events.ts'
import { grantMethods } from '../sqlite/grants.ts'
import { linkMethods } from '../sqlite/links.ts'
import { listingMethods } from '../sqlite/listing.ts'
import { outboxMethods } from '../sqlite/outbox.ts'
import { passkeyMethods } from '../sqlite/passkeys.ts'
import { refreshMethods } from '../sqlite/refresh.ts'
import { resealMethods } from '../sqlite/reseal.ts'
import { revokeMethods } from '../sqlite/revoke.ts'
import { sessionMethods } from '../sqlite/sessions.ts'
import { signingKeyMethods } from '../sqlite/signing-keys.ts'
import { sweepMethods } from '../sqlite/sweep.ts'
import { usageMethods } from '../sqlite/usage.ts'
import { webhookMethods } from '../sqlite/webhooks.ts'
import type { Store } from '../store.ts'
import { createEngine } from './engine.ts'
import type { Pool } from './pool.ts'
import { purgeMethods } from './purge.ts'
import { createSealedValues } from './sealed.ts'
import { prepareSwapState } from './swap-state.ts'

/** Connections that one transaction of a bulk revocation revokes: the work is replayed for each of its statements. */
const REVOKED_TOGETHER = 10

/** The Store contract on PostgreSQL: the methods of SQLite, but where the engines differ. */
export function createPostgresStore(pool: Pool): Store {
  const engine = createEngine(pool)
  const sealedValues = createSealedValues(engine)
  const bulk = bulkMethods(engine, sealedValues)
  return {
    ...appMethods(engine),
    ...authorizationMethods(engine),
    ...grantMethods(engine),
    ...linkMethods(engine),
    ...connectionMethods(engine, sealedValues),
    ...revokeMethods(engine, sealedValues),
    ...listingMethods(engine),
    ...refreshMethods(engine, sealedValues),
    ...bulk,
    ...adminMethods(engine, sealedValues),
    ...passkeyMethods(engine),
    ...sessionMethods(engine),
    ...eventMethods(engine),
    ...webhookMethods(engine, sealedValues),
    ...outboxMethods(engine),
    ...usageMethods(engine),
    ...signingKeyMethods(engine, sealedValues),
    ...resealMethods(engine),
    ...sweepMethods(engine),
    ...purgeMethods(engine, pool),
    getSwapState: prepareSwapState(pool),
    revokeBulkItems: ({ limit, ...batch }) =>
      bulk.revokeBulkItems({
        ...batch,
        limit: Math.min(limit, REVOKED_TOGETHER),
      }),
  }
}
