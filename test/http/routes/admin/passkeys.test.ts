import t from 'tap'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { newPasskey } from '../../../db/rows.ts'
import { buildBroker } from '../../../helper.ts'
import { Visitor } from '../../../visitor.ts'
import { postToDashboard, textOf } from './dashboard.ts'

const EMAIL = 'ada@example.com'
const FRESH_PERIOD_MS = 10 * 60_000

// What holds without a browser that has passkeys; test/browser/passkeys.browser.test.ts uses them.

t.test('the password alone is not enough for an account with a passkey', async (t) => {
  const broker = await buildBroker(t, { host: 'localhost' })
  const { store } = broker.services
  const visitor = await signIn(broker, { email: EMAIL })
  const adminId = (await store.findAdmin(EMAIL))?.id ?? ''
  await store.updatePasskey(null, newPasskey('p', { adminId }), [])
  const post = (path: string, fields: [string, string][]) =>
    postToDashboard(broker, visitor, `/admin${path}`, fields)
  const password: [string, string] = ['password', PASSWORD]

  const stranger = new Visitor()
  const page = await stranger.open(`${broker.url}/admin/sign-in`)
  const second = await stranger.press(page, 'Sign in', { email: EMAIL, password: PASSWORD })
  t.match(textOf(second), 'A passkey needs JavaScript and a current browser.')
  t.notMatch(second.body, 'name="code"')
  const guess = { code: '000000' }
  const refused = await stranger.press(second, 'Use a passkey', { credential: '{}', ...guess })
  t.match(refused, { status: 401, body: 'The passkey was not accepted' })
  const inside = await stranger.open(`${broker.url}/admin`)
  t.match(inside.url, '/admin/sign-in', 'still outside')

  broker.clock.advance(FRESH_PERIOD_MS)
  const confirmed = await post('/confirm-identity', [password, ['code', '000000']])
  t.match(confirmed, { status: 422, body: 'Incorrect code' })
  for (const path of ['/account/second-factor/propose', '/account/passkeys/remove']) {
    const answer = await post(path, [password, ['id', 'p']])
    t.match(answer.body, 'Confirm with a passkey', path)
  }
  t.equal(await store.getSecondFactor(adminId), undefined, 'no authenticator app was proposed')
  t.equal((await store.listPasskeys(adminId)).length, 1)

  const changed = await post('/account/password', [
    password,
    ['next', 'another horse battery'],
    ['again', 'another horse battery'],
  ])
  t.match(changed.body, 'Your passkeys still sign you in.')
})

t.test('a viewer changes only their own passkeys, after a recent sign-in', async (t) => {
  const broker = await buildBroker(t, { host: 'localhost' })
  const { store } = broker.services
  const viewer = await signIn(broker, { role: 'viewer' })
  await signIn(broker, { email: EMAIL })
  const idOf = async (email: string) => (await store.findAdmin(email))?.id ?? ''
  for (const email of [EMAIL, 'viewer@example.com'])
    await store.updatePasskey(null, newPasskey(email, { adminId: await idOf(email) }), [])
  const remove = (id: string) =>
    postToDashboard(broker, viewer, '/admin/account/passkeys/remove', [['id', id]])
  t.match((await remove(EMAIL)).body, 'That passkey was already removed')
  t.match(await store.findPasskey(EMAIL), { admin: { email: EMAIL } })
  broker.clock.advance(FRESH_PERIOD_MS)
  t.match((await remove('viewer@example.com')).body, 'Confirm your identity')
  t.ok(await store.findPasskey('viewer@example.com'))
})

t.test('an admin who has to set up a second factor can confirm their identity', async (t) => {
  const env = { BROKER_REQUIRE_SECOND_FACTOR: 'true' }
  const broker = await buildBroker(t, { host: 'localhost', env })
  const setUp = `${broker.url}/admin/account/second-factor`
  const { admins } = broker.services
  await admins.add(EMAIL, new Secret(PASSWORD), 'test')
  const visitor = new Visitor()
  const page = await visitor.open(`${broker.url}/admin/sign-in`)
  const first = await visitor.press(page, 'Sign in', { email: EMAIL, password: PASSWORD })
  t.match(first, { url: setUp, body: 'Add passkey' })
  broker.clock.advance(FRESH_PERIOD_MS)
  const late = await visitor.open(setUp)
  t.notMatch(late.body, 'Add passkey')
  const form = await visitor.press(first, 'Add passkey', { name: 'Laptop', credential: '{}' })
  t.match(form.url, '/admin/confirm-identity')
  const again = await visitor.press(form, 'Confirm', { password: PASSWORD })
  t.match(again, { url: setUp, body: 'Add passkey' })
})
