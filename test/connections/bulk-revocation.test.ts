import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { fill } from '../../bench/scale/fill.ts'
import type { ConnectionFilter } from '../../db/store.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { createKills } from '../kill.ts'
import { serve } from '../processes.ts'
import { size } from '../size.ts'

const ann = { actor: 'admin:ann@example.com', address: '192.0.2.7' }
const bea = { actor: 'admin:bea@example.com', address: '192.0.2.8' }
const everybody: ConnectionFilter = { search: null, statuses: ['active', 'revoked'], appId: null }

/** Waits until the bulk revocation has this status. */
async function waitForStatus({ services }: TestBroker, id: number, status: string) {
  for (;;) {
    const shown = await services.bulks.find(id)
    if (shown?.bulk.status === status) return shown
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Expires the lease of a dead process, so that the test need not wait for it. */
function endLease({ dataDir }: TestBroker): void {
  const client = new Database(join(dataDir, 'broker.db'))
  client.exec('update bulks set lease_until = 1')
  client.close()
}

/** The number of revocation events of each connection. */
function countRevocationEvents({ dataDir }: TestBroker): number[] {
  const client = new Database(join(dataDir, 'broker.db'), { readonly: true })
  const query = `select count(*) from events
    where action = 'connection.revoked' and actor = ? group by connection_id`
  const counts = client.prepare(query).pluck().all(ann.actor) as number[]
  client.close()
  return counts
}

t.test('selected connections are collected, confirmed and revoked', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  const app = await addApp(broker)
  const held = await connect(broker, app)
  const other = await connect(broker, app, { user: 'bo' })
  const picked = [held.connectionId, held.connectionId, 'con_unknown']
  const id = await bulks.begin(picked, ann)
  t.match(await bulks.find(id), {
    bulk: { status: 'ready', total: 1, ...ann },
    sample: [{ connectionId: held.connectionId, username: 'amelie' }],
    failed: [],
    erasurePending: false,
  })
  t.equal((await exchange(broker, held.brokerToken)).status, 200, 'nothing has happened yet')
  bulks.start()
  t.equal(await bulks.confirm(id, bea), true)
  t.equal(await bulks.confirm(id, ann), false)
  t.match(await waitForStatus(broker, id, 'done'), { bulk: { revoked: 1, failed: 0 }, sample: [] })
  t.equal((await exchange(broker, held.brokerToken)).status, 401)
  t.equal((await exchange(broker, other.brokerToken)).status, 200)
  t.equal(await bulks.cancel(id, ann), false)
  const { rows: events } = await store.listEvents({ limit: 3 })
  const details = `bulk revocation ${id}`
  t.match(
    events,
    [
      { action: 'connection.revoked', ...bea, details },
      { action: 'bulk.confirmed', ...bea, details },
      { action: 'bulk.asked', ...ann, details },
    ],
    'the events name the admin who confirmed',
  )
  t.same(
    (await bulks.list()).map((bulk) => bulk.id),
    [id],
  )
  t.equal(await bulks.find(99), undefined)
})

t.test(
  'all matching connections are collected in the background, and can be cancelled',
  async (t) => {
    const broker = await buildBroker(t)
    const { bulks, store } = broker.services
    await fill(broker.services, size(500, 2000))
    bulks.start()
    const found = { ...everybody, search: 'ann' }
    const id = await bulks.begin(found, ann)
    const { bulk } = await waitForStatus(broker, id, 'ready')
    const query = { ...found, statuses: ['active' as const], sort: 'user' as const, limit: 1 }
    const { total } = await store.browseConnections({ ...query, descending: false, cursor: null })
    t.equal(bulk.total, total)
    t.ok(total > 20)
    t.same(bulk.filter?.statuses, ['active'], 'revoked connections are left out')
    t.equal(await bulks.cancel(id, ann), true)
    t.equal(await bulks.confirm(id, ann), false)
    t.same(countRevocationEvents(broker), [])
  },
)

t.test('after a kill half-way it continues: each connection is revoked exactly once', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  await fill(broker.services, size(300, 600))
  const { active } = await store.countConnections()
  const id = await bulks.begin(everybody, ann)
  const first = await serve(t, broker.env)
  await waitForStatus(broker, id, 'ready')
  await bulks.confirm(id, ann)
  const isHalfWay = async () => {
    const { revoked = 0 } = (await store.getBulk(id)) ?? {}
    return revoked > active / 4 && revoked < active
  }
  const kills = createKills(t)
  const halfWay = { name: 'half-way', reached: isHalfWay, holds: isHalfWay }
  t.ok(await kills.at(first.child, halfWay), 'killed half-way')
  kills.check()
  const { status, revoked = 0 } = (await store.getBulk(id)) ?? {}
  t.equal(status, 'running')
  t.ok(revoked < active, `${revoked} of ${active}`)
  t.equal(countRevocationEvents(broker).length, revoked)
  endLease(broker)
  const second = await serve(t, broker.env)
  const third = await serve(t, broker.env)
  t.match(await waitForStatus(broker, id, 'done'), {
    bulk: { total: active, revoked: active, skipped: 0, failed: 0 },
  })
  const counts = countRevocationEvents(broker)
  t.equal(counts.length, active, 'every connection is revoked')
  t.ok(
    counts.every((count) => count === 1),
    'each is in the audit log once',
  )
  t.equal((await store.countConnections()).active, 0)
  // The two brokers also do this every five seconds.
  while ((await bulks.find(id))?.erasurePending)
    await store.purge({ now: broker.clock.now(), limit: 100 })
  for (const other of [second, third]) t.equal(await other.stop(), 0)
})
