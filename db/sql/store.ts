import { adminMethods } from './admins.ts'
import { appMethods } from './apps.ts'
import { authorizationMethods } from './authorization.ts'
import { bulkMethods } from './bulk.ts'
import { connectionMethods } from './connections.ts'
import { eventMethods } from './events.ts'
import { grantMethods } from './grants.ts'
import { linkMethods } from './links.ts'
import { listingMethods } from './listing.ts'
import { outboxMethods } from './outbox.ts'
import { passkeyMethods } from './passkeys.ts'
import { refreshMethods } from './refresh.ts'
import { resealMethods } from './reseal.ts'
import { revokeMethods } from './revoke.ts'
import { sessionMethods } from './sessions.ts'
import { signingKeyMethods } from './signing-keys.ts'
import { sweepMethods } from './sweep.ts'
import { usageMethods } from './usage.ts'
import { webhookMethods } from './webhooks.ts'
import type { Engine } from './engine.ts'
import type { SealedValues } from './sealed.ts'

/** The methods of the Store contract that all engines share: one file for each group. */
export const sqlMethods = (engine: Engine, sealedValues: SealedValues) => ({
  ...adminMethods(engine, sealedValues),
  ...appMethods(engine),
  ...authorizationMethods(engine),
  ...bulkMethods(engine, sealedValues),
  ...connectionMethods(engine, sealedValues),
  ...eventMethods(engine),
  ...grantMethods(engine),
  ...linkMethods(engine),
  ...listingMethods(engine),
  ...outboxMethods(engine),
  ...passkeyMethods(engine),
  ...refreshMethods(engine, sealedValues),
  ...resealMethods(engine, sealedValues),
  ...revokeMethods(engine, sealedValues),
  ...sessionMethods(engine),
  ...signingKeyMethods(engine, sealedValues),
  ...sweepMethods(engine),
  ...usageMethods(engine),
  ...webhookMethods(engine, sealedValues),
})
