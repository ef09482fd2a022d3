import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { BulkStatus } from '../../db/store.ts'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import type { TestBroker } from '../helper.ts'
import { CAREFUL, fillBroker } from '../sample-data.ts'
import type { SampleData } from '../sample-data.ts'

const ACTOR = 'admin:ada@example.com'
const LEASE_OWNER = 'pages'
const MINUTE_MS = 60_000

/** Ids of the data for the pages: everything in every state. */
export interface PageData extends SampleData {
  bulkIds: Record<BulkStatus, number>
  /** User codes of devices that wait for an answer. */
  userCodes: string[]
  carefulId: string
}

/** Fills a broker like `fillBroker`, plus bulk revocations and waiting devices. */
export async function fillPages(broker: TestBroker): Promise<PageData> {
  const data = await fillBroker(broker)
  // For the pages of /me.
  const amelie = broker.standIn.users.findByUsername('amelie')
  const account = { accountId: amelie?.id ?? '', username: 'amelie' }
  await broker.services.store.identifyConnection({ id: data.connectionId, ...account })
  const admins = await broker.services.admins.list()
  return {
    ...data,
    bulkIds: await addBulks(broker),
    userCodes: await addDevices(broker),
    carefulId: admins.find(({ email }) => email === CAREFUL)?.id ?? '',
  }
}

async function addDevices({ services: { apps, deviceFlow } }: TestBroker): Promise<string[]> {
  const settings = { ...appDefaults, name: 'Night job', redirectUris: [], device: true }
  const { app } = await apps.add(settings, ACTOR)
  const from = {
    device: 'A device (python-requests)',
    address: '192.0.2.33',
    network: '192.0.2.33',
    scope: 'projects',
  }
  const started = await Promise.all([1, 2, 3].map(() => deviceFlow.start(app, from)))
  return started.map(({ userCode }) => userCode)
}

/** Adds a bulk revocation in each state. The finished one failed for one connection. */
async function addBulks(broker: TestBroker): Promise<Record<BulkStatus, number>> {
  const { bulks, store, clock } = broker.services
  const now = clock.now()
  const lease = { owner: LEASE_OWNER, forMs: 10 * MINUTE_MS }
  const connectionIdsFrom = (first: number) =>
    [0, 1, 2, 3].map((index) => `con_sample${first + index}`)
  const startBulk = async (first: number, limit: number) => {
    const id = await bulks.begin(connectionIdsFrom(first), ACTOR)
    await bulks.confirm(id, ACTOR)
    await store.takeBulk(lease)
    await store.revokeBulkItems({ id, ...lease, now, limit, maxDurationMs: Infinity })
    return id
  }
  const client = new Database(join(broker.dataDir, 'broker.db'))
  client.exec(`create trigger stuck before update of revoked_at on connections
    when old.id = 'con_sample31' begin select raise(abort, 'The row can’t be changed.'); end`)
  const done = await startBulk(31, 9)
  client.exec('drop trigger stuck')
  client.close()
  const cancelled = await startBulk(27, 2)
  await bulks.cancel(cancelled, ACTOR)
  const running = await startBulk(23, 2)

  const filter = { search: 'person', statuses: ['active' as const], appId: null }
  const request = { actor: ACTOR, address: null, createdAt: now, leaseOwner: LEASE_OWNER }
  const collecting = await store.addBulk({ filter, ...request, leaseForMs: lease.forMs }, () => [])
  const connectionIds = connectionIdsFrom(10)
  await store.addBulkItems({ id: collecting, ...lease, connectionIds, cursor: 'more' })
  const ready = await bulks.begin(filter, ACTOR)
  return { collecting, ready, running, done, cancelled }
}
