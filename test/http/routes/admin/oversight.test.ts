import { Buffer } from 'node:buffer'
import t from 'tap'
import { fill } from '../../../../bench/scale/fill.ts'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker, connect, exchange } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import type { Page, Visitor } from '../../../visitor.ts'

/** A page's text, without markup. */
const textOf = ({ body }: { body: string }): string =>
  body
    .replace(/<script.*?<\/script>|<[^>]+>/gs, ' ')
    .replace(/\s+/g, ' ')
    .trim()

/** Posts a form of the dashboard, with the token of the page that it is on. */
async function post(
  { url }: TestBroker,
  visitor: Visitor,
  path: string,
  fields: [string, string][],
): Promise<Page> {
  const page = await visitor.open(`${url}/admin/account`)
  const token = /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
  const body = new URLSearchParams([['_csrf', token], ...fields])
  return visitor.open(url + path, undefined, { method: 'POST', body, headers: { origin: url } })
}

/** Waits until the page says so. */
async function until(visitor: Visitor, url: string, words: RegExp): Promise<string> {
  for (;;) {
    const text = textOf(await visitor.open(url))
    if (words.test(text)) return text
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('those that were ticked are revoked once that is confirmed', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const held = await connect(broker, app)
  const kept = await connect(broker, app, { user: 'bo' })
  broker.services.bulks.start()
  const admin = await signIn(broker)
  const asked = await post(broker, admin, '/admin/bulk', [['id', held.connectionId]])
  const text = textOf(asked)
  t.match(text, 'Revoke these connections?')
  t.match(text, 'This revokes 1 connection , exactly those that matched when you asked')
  t.match(text, 'amelie')
  t.notMatch(text, 'and 1 more')
  const viewer = await signIn(broker, { role: 'viewer' })
  const looked = await viewer.open(asked.url)
  t.match(looked.body, 'amelie')
  t.notMatch(looked.body, '/confirm')
  t.equal((await exchange(broker, held.brokerToken)).status, 200)

  t.match(text, /Asked for by admin@example.com , /)

  const other = await signIn(broker, { email: 'other@example.com' })
  const list = textOf(await other.open(`${broker.url}/admin/bulk`))
  t.match(list, 'Asked for by admin@example.com')
  const begun = await other.press(await other.open(asked.url), 'Revoke this connection')
  t.match(textOf(begun), 'The revocation has begun')
  const done = await until(admin, asked.url, /1 of 1 revoked/)
  t.match(done, /Confirmed by other@example.com , .* Ended/)
  t.notMatch(done, 'by admin@example.com')
  t.equal((await exchange(broker, held.brokerToken)).status, 401)
  t.equal((await exchange(broker, kept.brokerToken)).status, 200)
  t.match(
    textOf(await admin.open(`${broker.url}/admin/bulk`)),
    /Picked one by one Done 1 of 1 Confirmed by other@example.com/,
  )
  const again = await post(broker, admin, `${new URL(asked.url).pathname}/confirm`, [])
  t.match(textOf(again), 'It was confirmed or cancelled before.')
  const late = await post(broker, admin, `${new URL(asked.url).pathname}/cancel`, [])
  t.match(textOf(late), 'It had ended before.')
})

t.test('all that match are shown before, and can be left alone', async (t) => {
  const broker = await buildBroker(t)
  const [app] = await fill(broker.services, 1500)
  broker.services.bulks.start()
  const admin = await signIn(broker)
  const ask = (fields: [string, string][]) =>
    post(broker, admin, '/admin/bulk', [['which', 'all'], ...fields])
  const asked = await ask([
    ['q', 'a'],
    ['status', 'active'],
    ['app', app?.id ?? ''],
  ])
  const text = await until(admin, asked.url, /Revoke these connections/)
  t.match(text, /All healthy connections with the app Web map, found by “a”/)
  t.match(text, /and \d+ more\./)
  const cancelled = await admin.press(await admin.open(asked.url), 'Cancel')
  t.match(textOf(cancelled), /Cancelled. Who had been revoked stays revoked..*0 of \d+ revoked/)
  t.equal((await broker.services.store.countConnections()).revoked < 60, true)
  const nobody = await ask([['q', 'nobody of that name']])
  t.match(await until(admin, nobody.url, /nobody to revoke/), 'nobody to revoke')
  t.match(textOf(await ask([['status', 'needs_reconnect']])), 'in need of reconnecting')
  t.match(textOf(await ask([['status', 'revoked']])), 'nobody to revoke')
  t.match(textOf(await ask([])), /All connections/)
  for (const path of ['/admin/bulk/999', '/admin/bulk/x']) {
    t.equal((await admin.open(broker.url + path)).status, 404)
    for (const deed of ['confirm', 'cancel']) {
      t.equal((await post(broker, admin, `${path}/${deed}`, [])).status, 404)
    }
  }
})

t.test('an export is safe also where lists are separated by something else', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId: id } = await connect(broker, app)
  const admin = await signIn(broker)
  for (const separator of [';', '\t', '\r', '\n', '; ', ';"', ';=1;']) {
    for (const sign of '=+-@＝＋－＠') {
      const username = `a${separator}${sign}cmd|' /C calc'!A0;b`
      await broker.services.store.identifyConnection({ id, accountId: 'x', username })
      const { body } = await post(broker, admin, '/admin/users/export', [])
      t.match(body, /cmd/)
      // Some readers split within quotes, as soon as a quoted field is followed by what is no separator there.
      t.notMatch(body, /(^|[;\t\r\n])[ "]*[=+\-@＝＋－＠]/, JSON.stringify(username))
    }
  }
})

t.test('users are exported as they are filtered, safe for spreadsheets', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { name: '=1+1' })
  broker.standIn.addUser('=HYPERLINK("https://evil.example","x")')
  await connect(broker, app)
  await connect(broker, app, { user: 'bo' })
  const viewer = await signIn(broker, { role: 'viewer' })
  const take = (fields: [string, string][]) => post(broker, viewer, '/admin/users/export', fields)
  await broker.services.store.saveConnection(formula)

  const csv = await take([])
  t.match(csv.headers.get('content-type'), 'text/csv')
  t.match(csv.headers.get('content-disposition'), /^attachment; filename="users-[\d-]+\.csv"$/)
  const lines = csv.body.split('\r\n')
  t.match(lines[0], /^"connection_id","account_id","username","status","apps","connected_at"/)
  t.equal(lines.length, 5, 'a heading, three users, and the end of the last line')
  t.match(csv.body, `"'=HYPERLINK(""https://evil.example"")"`)
  t.match(csv.body, `,"amelie","active","'=1+1",`)

  const json = await take([
    ['format', 'jsonl'],
    ['q', 'b'],
  ])
  t.match(json.headers.get('content-disposition'), '.jsonl"')
  t.match(JSON.parse(json.body), { username: 'bo', status: 'active', apps: ['=1+1'] })
  const none = await take([
    ['format', 'jsonl'],
    ['q', 'nobody'],
  ])
  t.equal(none.body, '')
  const [event] = (await broker.services.store.listEvents({ limit: 1 })).rows
  t.match(event, {
    action: 'users.exported',
    actor: 'admin:viewer@example.com',
    address: '127.0.0.1',
    details: 'as jsonl, search by name or id, statuses active, needs_reconnect',
  })
})

const formula = {
  id: 'con_formula',
  expectedGeneration: null,
  accountId: null,
  username: '=HYPERLINK("https://evil.example")',
  tokens: {
    refreshToken: Buffer.alloc(40),
    accessToken: Buffer.alloc(40),
    accessTokenExpiresAt: 1,
    accessTokenFetchedAt: 1,
  },
  now: 1,
  code: null,
  events: [],
}

t.test('the audit log says who did what to whom from where, and is searched', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { name: 'Flood map' })
  const { connectionId } = await connect(broker, app)
  const by = { actor: 'admin:ann@example.com', address: '192.0.2.7' }
  await broker.services.connections.revoke(connectionId, by)
  const admin = await signIn(broker)
  const page = `${broker.url}/admin/audit`
  const look = async (query = '') => textOf(await admin.open(page + query))
  const all = await look()
  t.match(all, /ann@example.com Revoked, with every app and device.* amelie 192.0.2.7/)
  t.match(all, /The user Connected for .Flood map/)
  t.match(all, 'Admin signed in')
  t.match(all, 'Events are kept for 400 days')
  t.notMatch(await look('?action=grant.begun'), 'ann@example.com Revoked')
  t.match(await look(`?actor=${by.actor}&connection=${connectionId}&app=`), 'Revoked, with every')
  t.match(await look('?actor=ann@example.com'), 'Revoked, with every')
  t.match(await look(`?app=${app.id}&actor=nobody`), 'No event matches')
  t.match(await look('?from=2020-01-01&to=2020-01-02'), 'No event matches')
  t.match(await look('?from=nonsense&from_event=nonsense&action=made.up'), 'No event matches')
  const today = new Date().toISOString().slice(0, 10)
  t.match(await look(`?from=${today}&to=${today}`), /Connected for .Flood map/)

  for (const day of ['-271821-04-20', 'Nov 29, 2026', '2026-13-01', '2026-1-1']) {
    const query = `?from=${encodeURIComponent(day)}`
    t.match(await look(query), /Connected for .Flood map/, `${day} is no day`)
    const taken = await post(broker, admin, '/admin/audit/export', [['from', day]])
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
  const csv = await post(broker, admin, '/admin/audit/export', fields)
  t.equal(csv.body.split('\r\n').length, 122, 'a heading, 120 events, and the end of the last line')
  const json = await post(broker, admin, '/admin/audit/export', [...fields, ['format', 'jsonl']])
  t.match(JSON.parse(json.body.split('\n')[0] ?? ''), { actor: 'cli', details: 'App 119' })
  t.match(await look('?action=audit.exported'), 'Audit log exported: as jsonl, actor cli')
})

t.test('the audit log leads to no connection that is gone', async (t) => {
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

t.test('a long search of the audit log says how far it came', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const at = Date.UTC(2026, 0, 1)
  for (let from = 0; from < 41_000; from += 1000) {
    const some = Array.from({ length: 1000 }, (_, index) => at + from + index)
    await store.addEvents(some.map((at) => ({ at, actor: 'app', action: 'grant.begun' })))
  }
  const admin = await signIn(broker)
  const text = textOf(await admin.open(`${broker.url}/admin/audit?actor=user&action=grant.begun`))
  t.match(text, 'Few events match. The search has come back to')
  t.match(text, 'Next page')
})

t.test('the list of users carries its filter on to revoking and exporting', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  await connect(broker, app, { user: 'bo' })
  const admin = await signIn(broker)
  const list = await admin.open(`${broker.url}/admin/users?q=ame`)
  t.match(list.body, `form="bulk" name="id" value="${connectionId}"`)
  const asked = await admin.press(list, 'Revoke all that match…')
  t.match(textOf(asked), /All connections found by “ame”.*This revokes 1 connection/)
  t.match(textOf(await admin.press(list, 'Revoke those ticked…')), 'Nobody was selected')
  t.notMatch((await admin.press(list, 'Export as CSV')).body, ',bo,')
  t.match(
    textOf(await admin.open(`${broker.url}/admin/apps/${app.id}`)),
    'Use in the last 24 hours',
  )
  const viewer = await signIn(broker, { role: 'viewer' })
  t.notMatch((await viewer.open(`${broker.url}/admin/users`)).body, 'Revoke all')
})
