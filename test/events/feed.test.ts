import t from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'

t.test('who continues where the last page ended sees each event once, in order', async (t) => {
  const broker = await buildBroker(t)
  const { feed, store, connections } = broker.services
  const start = await feed.end()
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  await connections.revoke(connectionId, 'cli')
  const types: string[] = []
  const read = async (appId: string | null, after: string | null) => {
    let cursor: string | null = after
    let last = after
    do {
      const page = await feed.list({ after: cursor, appId, limit: 1 })
      types.push(...page.events.map(({ type }) => type))
      last = page.events.at(-1)?.id ?? page.next ?? last
      cursor = page.next
    } while (cursor !== null)
    return last
  }
  const end = await read(null, start)
  t.strictSame(types.splice(0), [
    'app.added',
    'connection.created',
    'grant.created',
    'connection.revoked',
  ])
  await read(app.id, null)
  t.strictSame(types.splice(0), ['connection.created', 'grant.created', 'connection.revoked'])
  const event = { at: broker.clock.now(), actor: 'system', connectionId }
  await store.addEvents([
    { ...event, action: 'admin.signed_in' },
    { ...event, action: 'upstream.down' },
    { ...event, action: 'connection.imported' },
    { ...event, action: 'connection.import_ended' },
    { ...event, action: 'app.grants_revoked' },
  ])
  await read(null, end)
  t.strictSame(types.splice(0), [
    'upstream.down',
    'connection.created',
    'connection.revoked',
    'grant.revoked',
  ])
  await t.rejects(feed.list({ after: 'x', appId: null, limit: 1 }), { code: 'invalid_request' })
})

t.test('a cursor from before a backup was restored continues by its time', async (t) => {
  const broker = await buildBroker(t)
  const { feed, store } = broker.services
  const add = (at: number) =>
    store.addEvents([{ at, actor: 'system', action: 'upstream.down', details: null }])
  const now = broker.clock.now()
  for (let second = 0; second < 5; second++) await add(now + second * 1000)
  const last = await store.lastEventId()
  // Ids that this store does not have yet, or has for another event.
  for (const id of [last + 7, last - 3]) {
    const { events } = await feed.list({ after: `evt_${id}_${now + 2500}`, appId: null, limit: 9 })
    t.equal(events.length, 2)
  }
})
