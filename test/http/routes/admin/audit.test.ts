import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker, connect } from '../../../helper.ts'
import { openDashboard, postToDashboard, textOf } from './dashboard.ts'

t.test('the audit log is searched, paged and exported', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { name: 'Flood map' })
  const { connectionId } = await connect(broker, app)
  const ann = { actor: 'admin:ann@example.com', address: '192.0.2.7' }
  await broker.services.connections.revoke(connectionId, ann)
  const admin = await signIn(broker)
  const page = `${broker.url}/admin/audit`
  const look = async (query = '') => textOf(await admin.open(page + query))
  const all = await look()
  t.match(all, /ann@example.com Revoked, with all apps and devices.* amelie 192.0.2.7/)
  t.match(all, /User Connected to .Flood map/)
  t.match(all, 'Admin signed in')
  t.match(all, 'Events are kept for 400 days')
  t.notMatch(await look('?action=grant.begun'), 'ann@example.com Revoked')
  t.match(await look(`?actor=${ann.actor}&connection=${connectionId}&app=`), 'Revoked, with all')
  t.match(await look('?actor=ann@example.com'), 'Revoked, with all')
  t.match(await look(`?app=${app.id}&actor=nobody`), 'No events match')
  t.match(await look('?from=2020-01-01&to=2020-01-02'), 'No events match')
  t.match(await look('?from=nonsense&from_event=nonsense&action=made.up'), 'No events match')
  const today = new Date().toISOString().slice(0, 10)
  t.match(await look(`?from=${today}&to=${today}`), /Connected to .Flood map/)

  for (const day of ['-271821-04-20', 'Nov 29, 2026', '2026-13-01', '2026-1-1']) {
    const query = `?from=${encodeURIComponent(day)}`
    t.match(await look(query), /Connected to .Flood map/, `${day} is no date`)
    const taken = await postToDashboard(broker, admin, '/admin/audit/export', [['from', day]])
    t.equal(taken.status, 200, day)
  }

  const events = Array.from({ length: 120 }, (_, index) => ({
    ...{ at: Date.now() + index, actor: 'cli', action: 'app.removed', details: `App ${index}` },
  }))
  await broker.services.store.addEvents(events)
  const first = await admin.open(`${page}?actor=cli`)
  t.match(textOf(first), 'Removed the app App 119')
  const older = /rel="next" href="([^"]+)"/.exec(first.body)?.[1]?.replaceAll('&amp;', '&') ?? ''
  const second = await admin.open(broker.url + older)
  t.match(textOf(second), 'Removed the app App 69')
  const newer = /rel="prev" href="([^"]+)"/.exec(second.body)?.[1]?.replaceAll('&amp;', '&') ?? ''
  t.match(textOf(await admin.open(broker.url + newer)), 'Removed the app App 119')

  const fields: [string, string][] = [['actor', 'cli']]
  const csv = await postToDashboard(broker, admin, '/admin/audit/export', fields)
  t.equal(csv.body.split('\r\n').length, 122, 'a header, 120 events, and the end of the last line')
  const json = await postToDashboard(broker, admin, '/admin/audit/export', [
    ...fields,
    ['format', 'jsonl'],
  ])
  t.match(JSON.parse(json.body.split('\n')[0] ?? ''), { actor: 'cli', details: 'App 119' })
  t.match(await look('?action=audit.exported'), 'Audit log exported: as jsonl, actor cli')
})

t.test('the audit log does not link to a deleted connection', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const { connectionId } = await connect(broker, await addApp(broker))
  const event = { at: Date.now(), actor: 'cli', action: 'connection.revoked' }
  await store.addEvents([{ ...event, connectionId: 'con_swept' }])
  const { body } = await (await signIn(broker)).open(`${broker.url}/admin/audit`)
  t.match(body, '<bdi>con_swept</bdi>')
  t.notMatch(body, '/users/con_swept')
  t.match(body, `/admin/users/${connectionId}`)
})

t.test('a long search of the audit log shows how far it got', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const at = Date.UTC(2026, 0, 1)
  for (let from = 0; from < 41_000; from += 1000) {
    const some = Array.from({ length: 1000 }, (_, index) => at + from + index)
    await store.addEvents(some.map((at) => ({ at, actor: 'app', action: 'grant.begun' })))
  }
  const admin = await signIn(broker)
  const text = textOf(await admin.open(`${broker.url}/admin/audit?actor=user&action=grant.begun`))
  t.match(text, 'Few events match. The search has reached')
  t.match(text, 'Next page')
})

t.test('an event of a deleted connection shows the connection’s id', async (t) => {
  const broker = await buildBroker(t)
  const event = { at: broker.clock.now(), actor: 'cli', action: 'connection.recovered' }
  await broker.services.store.addEvents([{ ...event, connectionId: 'con_swept' }])
  const { look } = await openDashboard(broker)
  t.match((await look('/audit?actor=cli')).body, 'con_swept')
})
