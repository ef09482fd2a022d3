import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { signIn } from '../../../admin.ts'
import { connect as addConnection } from '../../../db/rows.ts'
import { addApp, buildBroker, connect } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'

// What the overview, the audit log and exports make of what has ended, or fails.

async function open(broker: TestBroker) {
  const admin = await signIn(broker)
  const look = (path: string) => admin.open(`${broker.url}/admin${path}`)
  return { admin, look }
}

t.test('the overview follows a bulk revocation, and tells what holds it up', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  const { connectionId } = await connect(broker, await addApp(broker))
  const id = await bulks.begin([connectionId], 'test')
  await bulks.confirm(id, 'test')
  const { look } = await open(broker)
  t.match((await look('')).body, /A bulk revocation is under way\..*Follow it/s)
  const now = broker.clock.now()
  await store.takeBulk({ owner: 'x', now, until: now + 1000, maxLeaseMs: 1000 })
  const changes = { leaseOwner: null, leaseUntil: null, trouble: 'The disk is full.' }
  await store.updateBulk({ id, expected: { leaseOwner: 'x' }, changes, events: [] })
  t.match((await look('')).body, 'The disk is full.')
})

t.test('of a cancelled bulk revocation it says only what became of those it revoked', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  const app = await addApp(broker)
  const { connectionId: first } = await connect(broker, app)
  const { connectionId: second } = await connect(broker, app, { user: 'bo' })
  // As when something reads the database all the time.
  Object.assign(store, { isErasurePending: () => Promise.resolve(true) })
  const { look } = await open(broker)
  const before = await bulks.begin([first, second], 'test')
  await bulks.cancel(before, 'test')
  t.notMatch((await look(`/bulk/${before}`)).body, 'handed out')

  const id = await bulks.begin([first, second], 'test')
  await bulks.confirm(id, 'test')
  const now = broker.clock.now()
  const lease = { id, owner: 'x', now, until: now + 1000, maxLeaseMs: 1000 }
  await store.takeBulk(lease)
  await store.revokeBulkItems({ ...lease, limit: 1, maxDurationMs: Infinity })
  await bulks.cancel(id, 'test')
  const { body } = await look(`/bulk/${id}`)
  t.match(body, 'Nothing is handed out any more for those that were revoked.')
  t.match(body, '1 was left as it was.')
})

t.test(
  'of many that a bulk revocation failed at, some are named and the rest counted',
  async (t) => {
    const broker = await buildBroker(t)
    const { bulks, store } = broker.services
    const ids = Array.from({ length: 22 }, (_, index) => `con_${index}`)
    for (const id of ids) await addConnection(store, id)
    const client = new Database(join(broker.dataDir, 'broker.db'))
    client.exec(`create trigger stuck before update of revoked_at on connections
    begin select raise(abort, 'The row can’t be changed.'); end`)
    client.close()
    const id = await bulks.begin(ids, 'test')
    await bulks.confirm(id, 'test')
    const now = broker.clock.now()
    const lease = { id, owner: 'x', now, until: now + 1000, maxLeaseMs: 1000 }
    await store.takeBulk(lease)
    await store.revokeBulkItems({ ...lease, limit: 100, maxDurationMs: Infinity })
    const { look } = await open(broker)
    t.match((await look(`/bulk/${id}`)).body, /What failed.*and 2 more\./s)
  },
)

t.test('an export ends with the session of whoever asked for it', async (t) => {
  const broker = await buildBroker(t)
  const { admins, exports } = broker.services
  const { admin, look } = await open(broker)
  await connect(broker, await addApp(broker))
  const list = await look('/users')
  let removed = false
  async function* pieces() {
    yield 'first\n'
    await admins.remove('admin@example.com', 'test')
    removed = true
    yield 'second\n'
  }
  Object.assign(exports, { users: () => Promise.resolve(pieces()) })
  await t.rejects(admin.press(list, 'Export as CSV'), 'the download fails')
  t.equal(removed, true)
})

t.test('a page from before the confirmation stops no revocation', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  const { connectionId } = await connect(broker, await addApp(broker))
  const { admin, look } = await open(broker)
  const id = await bulks.begin([connectionId], 'test')
  const before = await look(`/bulk/${id}`)
  await bulks.confirm(id, 'test')
  const still = await admin.press(before, 'Cancel')
  t.match(still.body, 'It has been confirmed meanwhile; stop it here if you mean to.')
  t.equal((await store.getBulk(id))?.status, 'running')
  t.match((await admin.press(still, 'Stop here')).body, 'Cancelled.')
  t.equal((await store.getBulk(id))?.status, 'cancelled')
  t.match((await admin.press(still, 'Stop here')).body, 'It had ended before.')
})

t.test('an app that failed and was removed needs no attention', async (t) => {
  const broker = await buildBroker(t)
  const { store, overview, apps } = broker.services
  const app = await addApp(broker)
  const hour = Math.floor(broker.clock.now() / 3_600_000) * 3_600_000
  const count = { appId: app.id, kind: 'swap', outcome: 'server_error', hour, count: 9 } as const
  await store.recordUse({ grants: [], counts: [count] })
  const failing = async () =>
    (await overview.attention()).filter(({ kind }) => kind === 'app_failures')
  t.match(await failing(), [{ failed: 9, of: 9 }])
  await apps.remove(app.id, 'test')
  t.strictSame(await failing(), [])
})

t.test('an event of a connection that was swept names it by its id', async (t) => {
  const broker = await buildBroker(t)
  const event = { at: broker.clock.now(), actor: 'cli', action: 'connection.recovered' }
  await broker.services.store.addEvents([{ ...event, connectionId: 'con_swept' }])
  const { look } = await open(broker)
  t.match((await look('/audit?actor=cli')).body, 'con_swept')
})

t.test('an export that is broken off ends early, and the log says why', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const event = { at: broker.clock.now(), actor: 'cli', action: 'connection.recovered' }
  await store.addEvents(Array.from({ length: 300 }, () => event))
  const { admin, look } = await open(broker)
  const page = await look('/audit?actor=cli')
  const { listEvents } = store
  store.listEvents = (query) =>
    query.cursor === null ? listEvents(query) : Promise.reject(new Error('the disk is gone'))
  await t.rejects(admin.press(page, 'Export these as CSV'))
  t.ok(broker.logged.some((line) => line.includes('an export was broken off')))
})
