import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { BulkStatus } from '../../db/store.ts'
import { appDefaults } from '../../server/oauth/apps.ts'
import type { TestBroker } from '../helper.ts'
import { CAREFUL, fillBroker } from '../sample-data.ts'
import type { SampleData } from '../sample-data.ts'

const BY = 'admin:ada@example.com'
const OWNER = 'pages'
const MINUTE = 60_000

/** What pages are shown with: everything in every state. */
export interface ShownData extends SampleData {
  bulkIds: Record<BulkStatus, number>
  /** Codes of devices that wait for an answer. */
  userCodes: string[]
  carefulId: string
}

/** Fills a broker as `fillBroker` does, with whatever no user of that needs. */
export async function fillPages(broker: TestBroker): Promise<ShownData> {
  const data = await fillBroker(broker)
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
  const { app } = await apps.add(settings, BY)
  const from = { device: 'A device (python-requests)', address: '192.0.2.33' }
  const started = await Promise.all([1, 2, 3].map(() => deviceFlow.start(app, from)))
  return started.map(({ userCode }) => userCode)
}

/** A bulk revocation in each state; the one that is done failed at a connection. */
async function addBulks(broker: TestBroker): Promise<Record<BulkStatus, number>> {
  const { bulks, store, clock } = broker.services
  const now = clock.now()
  const lease = { owner: OWNER, until: now + 10 * MINUTE }
  const people = (first: number) => [0, 1, 2, 3].map((index) => `con_sample${first + index}`)
  const work = async (first: number, limit: number) => {
    const id = await bulks.begin(people(first), BY)
    await bulks.confirm(id, BY)
    await store.takeBulk({ ...lease, now, maxLeaseMs: 20 * MINUTE })
    await store.revokeBulkItems({ id, ...lease, now, limit, maxDurationMs: Infinity })
    return id
  }
  const client = new Database(join(broker.dataDir, 'broker.db'))
  client.exec(`create trigger stuck before update of revoked_at on connections
    when old.id = 'con_sample31' begin select raise(abort, 'The row can’t be changed.'); end`)
  const done = await work(31, 9)
  client.exec('drop trigger stuck')
  client.close()
  const cancelled = await work(27, 2)
  await bulks.cancel(cancelled, BY)
  const running = await work(23, 2)

  const filter = { search: 'person', statuses: ['active' as const], appId: null }
  const begun = { actor: BY, address: null, createdAt: now, leaseOwner: OWNER }
  const collecting = await store.addBulk({ filter, ...begun, leaseUntil: lease.until }, () => [])
  const connectionIds = people(10)
  await store.addBulkItems({ id: collecting, ...lease, connectionIds, cursor: 'more' })
  const ready = await bulks.begin(filter, BY)
  return { collecting, ready, running, done, cancelled }
}
