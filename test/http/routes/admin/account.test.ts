import t from 'tap'
import { noOrigin } from '../../../db/contract/admins.ts'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { Visitor } from '../../../visitor.ts'
import { csrfTokenOf } from './dashboard.ts'

const HOUR_MS = 3_600_000
const next = 'another horse battery staple'

t.test('a session expires after an hour without use, and after a day at the latest', async (t) => {
  const broker = await buildBroker(t)
  broker.clock.stop()
  const isSignedIn = async (visitor: Visitor) =>
    (await visitor.open(`${broker.url}/admin/account`)).url.endsWith('/admin/account')
  const visitor = await signIn(broker)
  for (let hours = 0; hours < 23; hours++) {
    broker.clock.advance(HOUR_MS - 1000)
    t.equal(await isSignedIn(visitor), true, `hour ${hours}`)
  }
  const idle = await signIn(broker)
  broker.clock.advance(HOUR_MS)
  t.equal(await isSignedIn(idle), false, 'idle for an hour')
  t.equal(await isSignedIn(visitor), false, 'a day old')
})

t.test('only its owner sees and ends a session', async (t) => {
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
  const token = csrfTokenOf(await open(again))
  const stolen = await again.open(`${broker.url}/admin/account/sessions/end`, undefined, {
    method: 'POST',
    body: new URLSearchParams({ _csrf: token, id }),
  })
  t.match(stolen.body, 'That session had already ended')

  const ended = await one.press(page, 'End the session of Firefox on Linux')
  t.match(ended.body, 'Session ended')
  const inside = await Promise.all([two, three].map(async (visitor) => (await open(visitor)).url))
  t.equal(inside.filter((url) => url.endsWith('/admin/account')).length, 1)
  t.match(
    (await one.press(await open(one), 'End all other sessions')).body,
    'Ended 1 other session',
  )
  t.match((await open(two)).url, '/sign-in')
  t.match((await open(three)).url, '/sign-in')
  t.equal((await open(one)).url, `${broker.url}/admin/account`)
})

t.test(
  'a session without address and browser can be ended, and so can the current one',
  async (t) => {
    const broker = await buildBroker(t)
    const visitor = await signIn(broker)
    const { admins, store } = broker.services
    const [admin] = await admins.list()
    if (!admin) throw new Error('no admin')
    const account = `${broker.url}/admin/account`
    for (const idHash of ['one', 'two']) {
      const [now, expiresAt] = [broker.clock.now(), broker.clock.now() + HOUR_MS]
      const times = { createdAt: now, lastSeenAt: now, expiresAt }
      const session = { idHash, adminId: admin.id, ...times, complete: true }
      const unknown = { address: null, userAgent: null, ...noOrigin }
      await store.addSession({ ...session, ...unknown }, { verified: admin, events: [] })
    }
    const page = await visitor.open(account)
    t.equal(page.body.match(/Unknown browser/g)?.length, 4)
    t.match(page.body, 'unknown')
    t.match((await visitor.press(page, 'End all other sessions')).body, 'Ended 2 other sessions')
    const [own] = await store.listSessions({ adminId: admin.id, now: broker.clock.now() })
    const csrf = csrfTokenOf(page)
    const out = await visitor.open(`${account}/sessions/end`, undefined, {
      method: 'POST',
      body: new URLSearchParams({ _csrf: csrf, id: own?.idHash ?? '' }),
    })
    t.match(out.url, '/admin/sign-in')
  },
)

t.test(
  'changing the password ends the other sessions and invalidates the old password',
  async (t) => {
    const broker = await buildBroker(t)
    const email = 'ada@example.com'
    const [here, elsewhere] = [await signIn(broker, { email }), await signIn(broker, { email })]
    const page = await here.open(`${broker.url}/admin/account`)
    const change = (password: string, wanted: string, again = wanted) =>
      here.press(page, 'Change password', { password, next: wanted, again })
    t.match(await change('wrong', next), { status: 422, body: 'The current password is incorrect' })
    t.match(await change(PASSWORD, next, 'x'), { status: 422, body: 'do not match' })
    t.match(await change(PASSWORD, 'short'), { status: 422, body: '12 to 1024' })
    t.match(await change(PASSWORD, next), { status: 200, body: 'Password changed' })
    t.match((await elsewhere.open(`${broker.url}/admin/account`)).url, '/sign-in')
    t.match((await here.open(`${broker.url}/admin/account`)).body, email)
    const signInPage = await elsewhere.open(`${broker.url}/admin/sign-in`)
    t.equal(
      (await elsewhere.press(signInPage, 'Sign in', { email, password: PASSWORD })).status,
      401,
    )
    t.equal((await elsewhere.press(signInPage, 'Sign in', { email, password: next })).status, 200)
  },
)

t.test('a password that someone else reset in the meantime is not overwritten', async (t) => {
  const broker = await buildBroker(t)
  const { admins, signIn: signInService } = broker.services
  const [email, reset] = ['ada@example.com', 'the password after the reset']
  const visitor = await signIn(broker, { email })
  const page = await visitor.open(`${broker.url}/admin/account`)
  const { prove } = signInService
  signInService.prove = async (...args) => {
    const outcome = await prove(...args)
    await admins.setPassword(email, new Secret(reset), 'cli')
    return outcome
  }
  const change = { password: PASSWORD, next, again: next }
  const out = await visitor.press(page, 'Change password', change)
  t.match(out.url, '/admin/sign-in')
  t.equal((await visitor.press(out, 'Sign in', { email, password: next })).status, 401)
  const inside = await visitor.press(out, 'Sign in', { email, password: reset })
  t.match(inside.body, 'Your session has ended, so nothing was changed.')
})

t.test('a viewer can use the account page and sees no forms for changes', async (t) => {
  const broker = await buildBroker(t)
  const viewer = await signIn(broker, { role: 'viewer' })
  const page = await viewer.open(`${broker.url}/admin/account`)
  t.match(page.body, '(read-only)')
  const change = { password: PASSWORD, next, again: next }
  t.match(await viewer.press(page, 'Change password', change), { status: 200 })
  for (const path of ['/admin/admins', '/admin/keys']) {
    const { status, body } = await viewer.open(broker.url + path)
    t.equal(status, 200)
    t.notMatch(body.replace(/<form[^>]*sign-out.*?<\/form>/s, ''), '<form', path)
  }
})

t.test(
  'a form posted after the session expired changes nothing and leads to the sign-in page',
  async (t) => {
    const broker = await buildBroker(t)
    const visitor = await signIn(broker)
    const page = await visitor.open(`${broker.url}/admin/admins`)
    broker.clock.advance(HOUR_MS)
    const fields = { email: 'eve@example.com', password: PASSWORD }
    const answer = await visitor.press(page, 'Add admin', fields)
    t.match(answer.url, '/admin/sign-in')
    t.equal((await broker.services.admins.list()).length, 1)
  },
)

t.test('password guesses from an unattended session are limited', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const page = await visitor.open(`${broker.url}/admin/account`)
  const change = (password: string) =>
    visitor.press(page, 'Change password', { password, next, again: next })
  for (let count = 0; count < 10; count++) t.equal((await change('wrong')).status, 422)
  t.match(await change(PASSWORD), { status: 429, body: 'Too many failed attempts' })
})

t.test('a notice is shown as text only, and only if its cookie is valid', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const show = async (cookie: string) => {
    visitor.cookies(broker.url).set('notice', cookie)
    return (await visitor.open(`${broker.url}/admin/account`)).body
  }
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  for (const invalid of ['%%%', encode(null), encode({ words: 7 }), encode([])]) {
    t.notMatch(await show(invalid), 'class="notice')
  }
  const notice = { tone: '"><script>', words: '<script>alert(1)</script>' }
  const body = await show(encode(notice))
  t.match(body, '<p class="notice problem" role="status">&lt;script&gt;alert(1)')
  t.notMatch(body, '<script>alert')
})
