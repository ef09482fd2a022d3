/**
 * The Store contract in plain terms: what db/store.ts and db/store/ say, in maps and arrays. One call runs at a
 * time, nothing is lost, and no query is fast. The engines are compared with it: see history.test.ts.
 */
import type { Store } from '../../../db/store.ts'
import { adminRules } from './reference/admins.ts'
import { appRules } from './reference/apps.ts'
import { authorizationRules } from './reference/authorization.ts'
import { bulkRules } from './reference/bulk.ts'
import { connectionRules } from './reference/connections.ts'
import { eventRules } from './reference/events.ts'
import { grantRules } from './reference/grants.ts'
import { leaseRules } from './reference/leases.ts'
import { linkRules } from './reference/links.ts'
import { listingRules } from './reference/listing.ts'
import { outboxRules } from './reference/outbox.ts'
import { refreshRules } from './reference/refresh.ts'
import { sessionRules } from './reference/sessions.ts'
import type { Answering, Tables } from './reference/tables.ts'
import { upkeepRules } from './reference/upkeep.ts'
import { usageRules } from './reference/usage.ts'

/** All of the contract but `close`. */
export type Reference = Answering<Exclude<keyof Store, 'close'>>

export const openReference = (tables: Tables): Reference => ({
  ...appRules(tables),
  ...authorizationRules(tables),
  ...grantRules(tables),
  ...linkRules(tables),
  ...connectionRules(tables),
  ...listingRules(tables),
  ...leaseRules(tables),
  ...refreshRules(tables),
  ...bulkRules(tables),
  ...adminRules(tables),
  ...sessionRules(tables),
  ...eventRules(tables),
  ...outboxRules(tables),
  ...usageRules(tables),
  ...upkeepRules(tables),
})
