import t from 'tap'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { Visitor } from '../../../visitor.ts'

const HOUR = 3_600_000
const next = 'another horse battery staple'

t.test('a session ends when it is left alone, and after a day in any case', async (t) => {
  const broker = await buildBroker(t)
  const isIn = async (visitor: Visitor) =>
    (await visitor.open(`${broker.url}/admin/account`)).url.endsWith('/admin/account')
  const visitor = await signIn(broker)
  for (let hours = 0; hours < 23; hours++) {
    broker.clock.advance(HOUR - 1000)
    t.equal(await isIn(visitor), true, `hour ${hours}`)
  }
  const idle = await signIn(broker)
  broker.clock.advance(HOUR)
  t.equal(await isIn(idle), false, 'left alone for an hour')
  t.equal(await isIn(visitor), false, 'a day old')
})

t.test('sessions are seen and ended by their owner, and by nobody else', async (t) => {
  const broker = await buildBroker(t)
  const email = 'ada@example.com'
  const [one, two, three] = [
    await signIn(broker, { email }),
    await signIn(broker, { email }),
    await signIn(broker, { email }),
  ]
  const bob = await signIn(broker, { email: 'bob@example.com', role: 'viewer' })
  const open = (visitor: Visitor) => visitor.open(`${broker.url}/admin/account`)
  const page = await open(one)
  t.equal(page.body.match(/Firefox on Linux/g)?.length, 5, 'three, of which two can be ended')
  t.equal((await open(bob)).body.match(/<th scope="row">/g)?.length, 1)

  const id = /name="id" value="([^"]+)"/.exec((await open(two)).body)?.[1] ?? ''
  const foreign = await bob.press(await open(bob), 'Sign out', {})
  t.match(foreign.url, '/admin/sign-in')
  const again = await signIn(broker, { email: 'bob@example.com', role: 'viewer' })
  const token = /name="_csrf" value="([^"]+)"/.exec((await open(again)).body)?.[1] ?? ''
  const stolen = await again.open(`${broker.url}/admin/account/sessions/end`, undefined, {
    method: 'POST',
    body: new URLSearchParams({ _csrf: token, id }),
  })
  t.match(stolen.body, 'That session had ended already')

  const ended = await one.press(page, 'End the session of Firefox on Linux')
  t.match(ended.body, 'The session has ended')
  const inside = await Promise.all([two, three].map(async (who) => (await open(who)).url))
  t.equal(inside.filter((url) => url.endsWith('/admin/account')).length, 1)
  t.match((await one.press(await open(one), 'End all other sessions')).body, 'One other session')
  t.match((await open(two)).url, '/sign-in')
  t.match((await open(three)).url, '/sign-in')
  t.equal((await open(one)).url, `${broker.url}/admin/account`)
})

t.test('sessions of which nothing is known can be ended, and so can one’s own', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const { admins, store } = broker.services
  const [admin] = await admins.list()
  if (!admin) throw new Error('no admin')
  const account = `${broker.url}/admin/account`
  for (const idHash of ['one', 'two']) {
    const [now, expiresAt] = [broker.clock.now(), broker.clock.now() + HOUR]
    const times = { createdAt: now, lastSeenAt: now, expiresAt }
    const session = { idHash, adminId: admin.id, ...times, complete: true }
    const unknown = { address: null, userAgent: null }
    await store.addSession({ ...session, ...unknown }, { verified: admin, events: [] })
  }
  const page = await visitor.open(account)
  t.equal(page.body.match(/Unknown browser/g)?.length, 4)
  t.match(page.body, 'unknown')
  t.match((await visitor.press(page, 'End all other sessions')).body, '2 other sessions have ended')
  const [own] = await store.listSessions({ adminId: admin.id, now: broker.clock.now() })
  const csrf = /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
  const out = await visitor.open(`${account}/sessions/end`, undefined, {
    method: 'POST',
    body: new URLSearchParams({ _csrf: csrf, id: own?.idHash ?? '' }),
  })
  t.match(out.url, '/admin/sign-in')
})

t.test('a changed password ends the other sessions, and the old one lets nobody in', async (t) => {
  const broker = await buildBroker(t)
  const email = 'ada@example.com'
  const [here, elsewhere] = [await signIn(broker, { email }), await signIn(broker, { email })]
  const page = await here.open(`${broker.url}/admin/account`)
  const change = (password: string, wanted: string, again = wanted) =>
    here.press(page, 'Change the password', { password, next: wanted, again })
  t.match(await change('wrong', next), { status: 422, body: 'Your current password is another' })
  t.match(await change(PASSWORD, next, 'x'), { status: 422, body: 'differ' })
  t.match(await change(PASSWORD, 'short'), { status: 422, body: '12 to 1024' })
  t.match(await change(PASSWORD, next), { status: 200, body: 'Your password is changed' })
  t.match((await elsewhere.open(`${broker.url}/admin/account`)).url, '/sign-in')
  t.match((await here.open(`${broker.url}/admin/account`)).body, email)
  const door = await elsewhere.open(`${broker.url}/admin/sign-in`)
  t.equal((await elsewhere.press(door, 'Sign in', { email, password: PASSWORD })).status, 401)
  t.equal((await elsewhere.press(door, 'Sign in', { email, password: next })).status, 200)
})

t.test('a password that was set by others meanwhile is not changed back', async (t) => {
  const broker = await buildBroker(t)
  const { admins, signIn: door } = broker.services
  const [email, reset] = ['ada@example.com', 'what was set meanwhile']
  const visitor = await signIn(broker, { email })
  const page = await visitor.open(`${broker.url}/admin/account`)
  const { prove } = door
  door.prove = async (...given) => {
    const outcome = await prove(...given)
    await admins.setPassword(email, new Secret(reset), 'cli')
    return outcome
  }
  const change = { password: PASSWORD, next, again: next }
  const out = await visitor.press(page, 'Change the password', change)
  t.match(out.url, '/admin/sign-in')
  t.equal((await visitor.press(out, 'Sign in', { email, password: next })).status, 401)
  const inside = await visitor.press(out, 'Sign in', { email, password: reset })
  t.match(inside.body, 'Your session had ended meanwhile, so nothing was changed.')
})

t.test('a viewer has an account too, and sees no forms that would be refused', async (t) => {
  const broker = await buildBroker(t)
  const viewer = await signIn(broker, { role: 'viewer' })
  const page = await viewer.open(`${broker.url}/admin/account`)
  t.match(page.body, 'to look only')
  const change = { password: PASSWORD, next, again: next }
  t.match(await viewer.press(page, 'Change the password', change), { status: 200 })
  for (const path of ['/admin/admins', '/admin/keys']) {
    const { status, body } = await viewer.open(broker.url + path)
    t.equal(status, 200)
    t.notMatch(body.replace(/<form[^>]*sign-out.*?<\/form>/s, ''), '<form', path)
  }
})

t.test('what was posted after the session had ended is told, and not done', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const page = await visitor.open(`${broker.url}/admin/admins`)
  broker.clock.advance(HOUR)
  const given = { email: 'eve@example.com', password: PASSWORD }
  const answer = await visitor.press(page, 'Add the admin', given)
  t.match(answer.url, '/admin/sign-in')
  t.equal((await broker.services.admins.list()).length, 1)
})

t.test('a password is guessed no further from a session that was left open', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const page = await visitor.open(`${broker.url}/admin/account`)
  const change = (password: string) =>
    visitor.press(page, 'Change the password', { password, next, again: next })
  for (let count = 0; count < 10; count++) t.equal((await change('wrong')).status, 422)
  t.match(await change(PASSWORD), { status: 429, body: 'Too many attempts failed' })
})

t.test('a notice is words that the broker wrote, or none', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const show = async (notice: string) => {
    visitor.cookies(broker.url).set('notice', notice)
    return (await visitor.open(`${broker.url}/admin/account`)).body
  }
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  for (const odd of ['%%%', encode(null), encode({ words: 7 }), encode([])]) {
    t.notMatch(await show(odd), 'class="notice')
  }
  const given = { tone: '"><script>', words: '<script>alert(1)</script>' }
  const body = await show(encode(given))
  t.match(body, '<p class="notice problem" role="status">&lt;script&gt;alert(1)')
  t.notMatch(body, '<script>alert')
})
