import t from 'tap'
import type { Test } from 'tap'
import type { Store } from '../../db/store.ts'
import { testAdmins } from './contract/admins.ts'
import { testApps } from './contract/apps.ts'
import { testBulk } from './contract/bulk.ts'
import { testConnections } from './contract/connections.ts'
import { testDeviceCodes } from './contract/device-codes.ts'
import { testEvents } from './contract/events.ts'
import { testFlows } from './contract/flows.ts'
import { testLinks } from './contract/links.ts'
import { testListing } from './contract/listing.ts'
import { testCounters } from './contract/counters.ts'
import { testDataOwnership } from './contract/data-ownership.ts'
import { testPasskeys } from './contract/passkeys.ts'
import { testRefresh } from './contract/refresh.ts'
import { testRevoke } from './contract/revoke.ts'
import { testSealed } from './contract/sealed.ts'
import { testSigningKeys } from './contract/signing-keys.ts'
import { testSwap } from './contract/swap.ts'
import { testUpkeep } from './contract/upkeep.ts'
import { testWebhooks } from './contract/webhooks.ts'
import { testWalks } from './contract/walks.ts'

/** Opens an empty store of the engine under test, and closes it when the test ends. */
export type OpenStore = (t: Test) => Promise<Store>

/** Tests every rule of the Store contract (db/store.ts) on an engine. */
export function testContract(engine: string, open: OpenStore): void {
  const groups = {
    'admins, sessions': testAdmins,
    passkeys: testPasskeys,
    apps: testApps,
    'authorizations in progress': testFlows,
    'device codes': testDeviceCodes,
    connections: testConnections,
    links: testLinks,
    listing: testListing,
    walks: testWalks,
    refresh: testRefresh,
    swap: testSwap,
    revoke: testRevoke,
    'data ownership': testDataOwnership,
    'bulk revocations': testBulk,
    counters: testCounters,
    events: testEvents,
    'webhooks, outbox': testWebhooks,
    'signing keys': testSigningKeys,
    upkeep: testUpkeep,
    'sealed values': testSealed,
  }
  for (const [name, testGroup] of Object.entries(groups)) {
    t.test(`${engine}: ${name}`, async (t) => {
      testGroup(t, open)
    })
  }
}
