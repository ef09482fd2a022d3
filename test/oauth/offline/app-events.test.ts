import t from 'tap'
import type { Message } from '../../../server/events/message.ts'
import { buildBroker } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { addOfflineApp, connectUser, getAppToken } from './begin.ts'

/** Reads the feed. */
async function readFeed(
  { url }: Pick<TestBroker, 'url'>,
  token: string,
  query: Record<string, string> = {},
) {
  const answer = await fetch(`${url}/v1/events?${new URLSearchParams(query).toString()}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const body = (await answer.json()) as { events: Message[]; next: string | null; error?: string }
  return { status: answer.status, headers: answer.headers, ...body }
}

/** What events tell of whom, in order. */
const summarize = (events: Message[]) =>
  events.map(({ type, data }) => `${type} ${data.external_id ?? data.grant_id ?? '-'}`)

t.test('an app reads what happened to its grants', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const token = await getAppToken(broker, app)
  t.match(await readFeed(broker, token), { status: 200, events: [], next: null })

  const form = { external_id: 'user-1' }
  const { grantId, connectionId } = await connectUser(broker, app, { form })
  await broker.services.connections.revoke(connectionId, 'admin:ada@example.com')
  const { events, next, headers } = await readFeed(broker, token)
  t.equal(next, null)
  t.equal(headers.get('cache-control'), 'no-store')
  t.strictSame(
    events.map(({ type }) => type),
    ['connection.created', 'grant.created', 'connection.revoked'],
  )
  const [, created] = events
  t.strictSame(created, {
    id: created?.id,
    type: 'grant.created',
    timestamp: created?.timestamp,
    data: {
      connection_id: connectionId,
      app_id: app.app.id,
      grant_id: grantId,
      external_id: 'user-1',
      sequence: 2,
    },
  })
  t.match(created?.id, /^evt_/)
  t.notMatch(JSON.stringify(events), /ada@example|amelie/, 'no names')
})

t.test('who stores next, or the id of the last event, misses nothing', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const token = await getAppToken(broker, app)
  const other = await addOfflineApp(broker)
  const seen: Message[] = []
  let after = ''
  /** Polls once; `limit` as small as possible. */
  const poll = async () => {
    const { events, next } = await readFeed(broker, token, { after, limit: '1' })
    t.ok(events.length <= 1)
    seen.push(...events)
    after = next ?? events.at(-1)?.id ?? after
    return next
  }
  for (const user of ['amelie', 'bo', 'amelie']) {
    await connectUser(broker, app, { user })
    await connectUser(broker, other, { user })
    while ((await poll()) !== null);
    await poll()
  }
  const all = await readFeed(broker, token)
  t.strictSame(seen, all.events, 'each once, in order')
  t.equal(new Set(seen.map(({ id }) => id)).size, seen.length)
  t.ok(seen.length >= 5)
})

t.test('an app learns nothing of another one', async (t) => {
  const broker = await buildBroker(t)
  const { services } = broker
  const [one, other] = [await addOfflineApp(broker), await addOfflineApp(broker)]
  const token = await getAppToken(broker, one)
  const mine = await connectUser(broker, one, { form: { external_id: 'mine' } })
  // On the same account, and on one that the app does not know.
  const theirs = await connectUser(broker, other, { form: { external_id: 'theirs' } })
  const unknown = await connectUser(broker, other, { user: 'bo' })
  await services.connections.revokeGrant(theirs.grantId, 'test')
  await services.connections.revoke(unknown.connectionId, 'test')
  await services.apps.set(other.app.id, { name: 'Another name' }, 'test')
  const { events } = await readFeed(broker, token)
  t.strictSame(summarize(events).slice(0, 2), [
    `connection.created ${events[0]?.data.external_id ?? '-'}`,
    'grant.created mine',
  ])
  const text = JSON.stringify(events)
  for (const secret of [other.app.id, theirs.grantId, unknown.connectionId, 'theirs']) {
    t.notMatch(text, secret)
  }
  t.equal(mine.connectionId, theirs.connectionId)
  t.ok(events.every(({ type }) => !type.startsWith('app.')))

  const theirEvents = await readFeed(broker, await getAppToken(broker, other))
  const [id = ''] = theirEvents.events.map(({ id }) => id).slice(-1)
  t.match(await readFeed(broker, token, { after: id }), { status: 200, events: [] }, 'as a cursor')
})

t.test('what is refused', async (t) => {
  const broker = await buildBroker(t)
  const token = await getAppToken(broker, await addOfflineApp(broker))
  const invalid = { status: 400, error: 'invalid_request' }
  for (const query of [{ after: 'x' }, { after: 'evt_1' }, { limit: '0' }, { limit: '501' }]) {
    t.match(await readFeed(broker, token, query), invalid, JSON.stringify(query))
  }
  t.match(await readFeed(broker, token, { after: '', limit: '' }), { status: 200 }, 'empty')
  t.match(await readFeed(broker, 'x'), { status: 401, error: 'invalid_token' })
  const post = await fetch(`${broker.url}/v1/events`, { method: 'POST' })
  t.equal(post.status, 405)
})
