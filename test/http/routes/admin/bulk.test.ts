import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { fill } from '../../../../bench/scale/fill.ts'
import { signIn } from '../../../admin.ts'
import { connect as addConnection } from '../../../db/rows.ts'
import { addApp, buildBroker, connect, exchange } from '../../../helper.ts'
import type { Visitor } from '../../../visitor.ts'
import { openDashboard, postToDashboard, textOf } from './dashboard.ts'

/** Waits until the text of the page matches, and returns it. */
async function waitForText(visitor: Visitor, url: string, pattern: RegExp): Promise<string> {
  for (;;) {
    const text = textOf(await visitor.open(url))
    if (pattern.test(text)) return text
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('selected users are revoked after the confirmation', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const selected = await connect(broker, app)
  const kept = await connect(broker, app, { user: 'bo' })
  broker.services.bulks.start()
  const admin = await signIn(broker)
  const confirmation = await postToDashboard(broker, admin, '/admin/bulk', [
    ['id', selected.connectionId],
  ])
  const text = textOf(confirmation)
  t.match(text, 'Revoke these connections?')
  t.match(text, 'This revokes 1 connection : exactly those that matched when you made the request')
  t.match(text, 'amelie')
  t.notMatch(text, 'and 1 more')
  const viewer = await signIn(broker, { role: 'viewer' })
  const viewed = await viewer.open(confirmation.url)
  t.match(viewed.body, 'amelie')
  t.notMatch(viewed.body, '/confirm')
  t.equal((await exchange(broker, selected.brokerToken)).status, 200)

  t.match(text, /Requested by admin@example.com , /)

  const other = await signIn(broker, { email: 'other@example.com' })
  const list = textOf(await other.open(`${broker.url}/admin/bulk`))
  t.match(list, 'Requested by admin@example.com')
  const started = await other.press(await other.open(confirmation.url), 'Revoke this connection')
  t.match(textOf(started), 'The revocation has started')
  const done = await waitForText(admin, confirmation.url, /1 of 1 revoked/)
  t.match(done, /Confirmed by other@example.com , .* Finished/)
  t.notMatch(done, 'by admin@example.com')
  t.equal((await exchange(broker, selected.brokerToken)).status, 401)
  t.equal((await exchange(broker, kept.brokerToken)).status, 200)
  t.match(
    textOf(await admin.open(`${broker.url}/admin/bulk`)),
    /Selected individually Done 1 of 1 Confirmed by other@example.com/,
  )
  const again = await postToDashboard(
    broker,
    admin,
    `${new URL(confirmation.url).pathname}/confirm`,
    [],
  )
  t.match(textOf(again), 'It was already confirmed or cancelled.')
  const late = await postToDashboard(
    broker,
    admin,
    `${new URL(confirmation.url).pathname}/cancel`,
    [],
  )
  t.match(textOf(late), 'It was already finished or cancelled.')
})

t.test('all matches are shown before the confirmation, which can be cancelled', async (t) => {
  const broker = await buildBroker(t)
  const [app] = await fill(broker.services, 1500)
  broker.services.bulks.start()
  const admin = await signIn(broker)
  const requestRevocation = (fields: [string, string][]) =>
    postToDashboard(broker, admin, '/admin/bulk', [['which', 'all'], ...fields])
  const confirmation = await requestRevocation([
    ['q', 'a'],
    ['status', 'active'],
    ['app', app?.id ?? ''],
  ])
  const text = await waitForText(admin, confirmation.url, /Revoke these connections/)
  t.match(text, /All connections that work, with the app Web map, matching “a”/)
  t.match(text, /and \d+ more\./)
  const cancelled = await admin.press(await admin.open(confirmation.url), 'Cancel')
  t.match(
    textOf(cancelled),
    /Cancelled. Connections that were already revoked stay revoked..*0 of \d+ revoked/,
  )
  t.equal((await broker.services.store.countConnections()).revoked < 60, true)
  const noMatch = await requestRevocation([['q', 'nobody of that name']])
  t.match(await waitForText(admin, noMatch.url, /Nothing to revoke/), 'Nothing to revoke')
  t.match(
    textOf(await requestRevocation([['status', 'needs_reconnect']])),
    'that need reconnecting',
  )
  t.match(textOf(await requestRevocation([['status', 'revoked']])), 'Nothing to revoke')
  t.match(textOf(await requestRevocation([])), /All connections/)
  for (const path of ['/admin/bulk/999', '/admin/bulk/x']) {
    t.equal((await admin.open(broker.url + path)).status, 404)
    for (const action of ['confirm', 'cancel']) {
      t.equal((await postToDashboard(broker, admin, `${path}/${action}`, [])).status, 404)
    }
  }
})

t.test('bulk revocation and export use the filter of the list', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  await connect(broker, app, { user: 'bo' })
  const admin = await signIn(broker)
  const list = await admin.open(`${broker.url}/admin/users?q=ame`)
  t.match(list.body, `form="bulk" name="id" value="${connectionId}"`)
  const confirmation = await admin.press(list, 'Revoke all matches…')
  t.match(textOf(confirmation), /All connections matching “ame”.*This revokes 1 connection/)
  t.match(textOf(await admin.press(list, 'Revoke selected…')), 'No users selected')
  t.notMatch((await admin.press(list, 'Export CSV')).body, ',bo,')
  t.match(
    textOf(await admin.open(`${broker.url}/admin/apps/${app.id}`)),
    'Usage in the last 24 hours',
  )
  const viewer = await signIn(broker, { role: 'viewer' })
  t.notMatch((await viewer.open(`${broker.url}/admin/users`)).body, 'Revoke all')
})

t.test(
  'the page of a cancelled bulk revocation mentions only the revoked connections',
  async (t) => {
    const broker = await buildBroker(t)
    const { bulks, store } = broker.services
    const app = await addApp(broker)
    const { connectionId: first } = await connect(broker, app)
    const { connectionId: second } = await connect(broker, app, { user: 'bo' })
    // As if another program were reading the database.
    Object.assign(store, { isErasurePending: () => Promise.resolve(true) })
    const { look } = await openDashboard(broker)
    const before = await bulks.begin([first, second], 'test')
    await bulks.cancel(before, 'test')
    t.notMatch((await look(`/bulk/${before}`)).body, 'handed out')

    const id = await bulks.begin([first, second], 'test')
    await bulks.confirm(id, 'test')
    const now = broker.clock.now()
    const lease = { id, owner: 'x', forMs: 1000, now }
    await store.takeBulk(lease)
    await store.revokeBulkItems({ ...lease, limit: 1, maxDurationMs: Infinity })
    await bulks.cancel(id, 'test')
    const { body } = await look(`/bulk/${id}`)
    t.match(body, 'No more tokens are handed out for the revoked connections.')
    t.match(body, '1 was not revoked.')
  },
)

t.test('some failures of a bulk revocation are listed, and the rest is counted', async (t) => {
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
  const lease = { id, owner: 'x', forMs: 1000, now }
  await store.takeBulk(lease)
  await store.revokeBulkItems({ ...lease, limit: 100, maxDurationMs: Infinity })
  const { look } = await openDashboard(broker)
  t.match((await look(`/bulk/${id}`)).body, /Failed connections.*and 2 more\./s)
})

t.test('a page loaded before the confirmation cannot stop the revocation', async (t) => {
  const broker = await buildBroker(t)
  const { bulks, store } = broker.services
  const { connectionId } = await connect(broker, await addApp(broker))
  const { admin, look } = await openDashboard(broker)
  const id = await bulks.begin([connectionId], 'test')
  const before = await look(`/bulk/${id}`)
  await bulks.confirm(id, 'test')
  const still = await admin.press(before, 'Cancel')
  t.match(still.body, 'It was confirmed in the meantime. Select Stop to stop it.')
  t.equal((await store.getBulk(id))?.status, 'running')
  t.match((await admin.press(still, 'Stop')).body, 'Cancelled.')
  t.equal((await store.getBulk(id))?.status, 'cancelled')
  t.match((await admin.press(still, 'Stop')).body, 'It was already finished or cancelled.')
})
