import { Buffer } from 'node:buffer'
import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker, connect } from '../../../helper.ts'
import { csrfTokenOf, openDashboard, postToDashboard } from './dashboard.ts'

t.test('an export is safe with every list separator', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId: id } = await connect(broker, app)
  const admin = await signIn(broker)
  for (const separator of [';', '\t', '\r', '\n', '; ', ';"', ';=1;']) {
    for (const sign of '=+-@＝＋－＠') {
      const username = `a${separator}${sign}cmd|' /C calc'!A0;b`
      await broker.services.store.identifyConnection({ id, accountId: 'x', username })
      const { body } = await postToDashboard(broker, admin, '/admin/users/export', [])
      t.match(body, /cmd/)
      // Some readers split a quoted field that is followed by a different separator.
      t.notMatch(body, /(^|[;\t\r\n])[ "]*[=+\-@＝＋－＠]/, JSON.stringify(username))
    }
  }
})

t.test('the filtered users are exported, safe for spreadsheets', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { name: '=1+1' })
  broker.standIn.addUser('=HYPERLINK("https://evil.example","x")')
  await connect(broker, app)
  await connect(broker, app, { user: 'bo' })
  const viewer = await signIn(broker, { role: 'viewer' })
  const exportUsers = (fields: [string, string][]) =>
    postToDashboard(broker, viewer, '/admin/users/export', fields)
  await broker.services.store.saveConnection(formula)

  const csv = await exportUsers([])
  t.match(csv.headers.get('content-type'), 'text/csv')
  t.match(csv.headers.get('content-disposition'), /^attachment; filename="users-[\d-]+\.csv"$/)
  const lines = csv.body.split('\r\n')
  t.match(lines[0], /^"connection_id","account_id","username","status","apps","connected_at"/)
  t.equal(lines.length, 5, 'a header, three users, and the end of the last line')
  t.match(csv.body, `"'=HYPERLINK(""https://evil.example"")"`)
  t.match(csv.body, `,"amelie","active","'=1+1",`)

  const json = await exportUsers([
    ['format', 'jsonl'],
    ['q', 'b'],
  ])
  t.match(json.headers.get('content-disposition'), '.jsonl"')
  t.match(JSON.parse(json.body), { username: 'bo', status: 'active', apps: ['=1+1'] })
  const none = await exportUsers([
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

t.test('a CSV export is UTF-8 that spreadsheets recognize', async (t) => {
  const broker = await buildBroker(t)
  broker.standIn.addUser('Łukasz 日本 😀')
  await connect(broker, await addApp(broker, { name: 'Größe' }), { user: 'Łukasz 日本 😀' })
  const admin = await signIn(broker)
  const { url } = broker
  const token = csrfTokenOf(await admin.open(`${url}/admin/account`))
  const download = async (path: string, fields: Record<string, string>) => {
    const cookie = [...admin.cookies(url)].map((pair) => pair.join('=')).join('; ')
    const body = new URLSearchParams({ _csrf: token, ...fields })
    const headers = { cookie, origin: url, 'user-agent': admin.userAgent }
    const response = await fetch(`${url}/admin/${path}`, { method: 'POST', body, headers })
    return Buffer.from(await response.arrayBuffer())
  }
  const mark = Buffer.from([0xef, 0xbb, 0xbf])
  for (const path of ['users/export', 'audit/export']) {
    for (const fields of [{}, { format: 'csv' }, { q: 'nobody' }]) {
      const bytes = await download(path, fields)
      t.ok(bytes.subarray(0, 4).equals(Buffer.concat([mark, Buffer.from('"')])), path)
      t.equal(bytes.indexOf(mark, 1), -1, 'once')
    }
    const lines = await download(path, { format: 'jsonl' })
    t.equal(lines.indexOf(mark), -1, 'JSON has none (RFC 8259 8.1)')
  }
  const users = await download('users/export', {})
  t.match(users.toString(), /"Łukasz 日本 😀".*"Größe"/)
})

t.test('an export fails when the session that requested it ends', async (t) => {
  const broker = await buildBroker(t)
  const { admins, exports } = broker.services
  const { admin, look } = await openDashboard(broker)
  await connect(broker, await addApp(broker))
  const list = await look('/users')
  let removed = false
  async function* chunks() {
    yield 'first\n'
    await admins.remove('admin@example.com', 'test')
    removed = true
    yield 'second\n'
  }
  Object.assign(exports, { users: () => Promise.resolve(chunks()) })
  await t.rejects(admin.press(list, 'Export CSV'), 'the download fails')
  t.equal(removed, true)
})

t.test('a failed export is logged', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const event = { at: broker.clock.now(), actor: 'cli', action: 'connection.recovered' }
  await store.addEvents(Array.from({ length: 300 }, () => event))
  const { admin, look } = await openDashboard(broker)
  const page = await look('/audit?actor=cli')
  const { listEvents } = store
  store.listEvents = (query) =>
    query.cursor === null ? listEvents(query) : Promise.reject(new Error('the disk is gone'))
  await t.rejects(admin.press(page, 'Export CSV'))
  t.ok(broker.logged.some((line) => line.includes('an export failed')))
})
