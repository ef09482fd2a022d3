import { Secret as OtpSecret, TOTP } from 'otpauth'
import t from 'tap'
import { PASSWORD, signIn } from '../../../admin.ts'
import { cli } from '../../../processes.ts'
import { addApp, buildBroker } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { Secret } from '../../../../server/secret.ts'
import { Visitor } from '../../../visitor.ts'
import { postToDashboard } from './dashboard.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const EMAIL = 'ada@example.com'

/** Adds a second factor. Returns a function that makes codes, a new one each time. */
async function addFactor({ services, clock }: TestBroker, email = EMAIL) {
  const { secondFactors, store } = services
  const admin = await store.findAdmin(email)
  const proposal = admin && (await secondFactors.propose(admin))
  if (!proposal) throw new Error('no proposal')
  const totp = new TOTP({ secret: OtpSecret.fromBase32(proposal.secret.reveal()) })
  const newCode = () => {
    clock.advance(30_000)
    return totp.generate({ timestamp: clock.now() })
  }
  if (!(await secondFactors.confirm(admin, newCode(), '::1'))) throw new Error('not confirmed')
  return newCode
}

const actionsOf = async ({ services }: TestBroker) =>
  (await services.store.listEvents({ limit: 100 })).rows

/** Signs in with the password, and enters the code. */
async function signInWithCode(broker: TestBroker, code: string, visitor = new Visitor()) {
  const page = await visitor.open(`${broker.url}/admin/sign-in`)
  const form = await visitor.press(page, 'Sign in', { email: EMAIL, password: PASSWORD })
  return visitor.press(form, 'Sign in', { code })
}

t.test('an action with wide effects needs a recent sign-in', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email: EMAIL })
  const bob = await broker.services.admins.add('bob@example.com', new Secret(PASSWORD), 'test')
  const { kid } = await broker.services.keys.current('EdDSA')
  const id = await broker.services.bulks.begin(['con_none'], 'test')
  const app = await addApp(broker, { confidential: true })
  broker.clock.advance(9 * MINUTE_MS)
  t.match(await visitor.open(`${broker.url}/admin/keys/rotate`), { body: 'Rotate keys' })
  broker.clock.advance(MINUTE_MS)

  const ofApp = ['/apps/new', `/apps/${app.id}/edit`, `/apps/${app.id}/rotate`]
  const pages = ['/keys/rotate', `/keys/${kid}/revoke`, `/admins/${bob.id}/remove`, ...ofApp]
  for (const path of pages) {
    const page = await visitor.open(`${broker.url}/admin${path}`)
    t.match(page.body, 'Confirm your identity', path)
    t.match(page.url, encodeURIComponent(`/admin${path}`))
  }
  const changes: [string, [string, string][]][] = [
    ...pages.map((path): [string, []] => [path, []]),
    [
      '/admins',
      [
        ['email', 'eve@example.com'],
        ['password', PASSWORD],
        ['role', 'admin'],
      ],
    ],
    [`/admins/${bob.id}/role`, [['role', 'viewer']]],
    [`/bulk/${id}/confirm`, []],
    ['/account/sessions/end', []],
    ['/account/sessions/end-others', []],
  ]
  const events = (await actionsOf(broker)).length
  for (const [path, fields] of changes) {
    const page = await postToDashboard(broker, visitor, `/admin${path}`, fields)
    t.match(page, { status: 200, body: 'Nothing was changed yet' }, path)
  }
  t.equal((await actionsOf(broker)).length, events, 'nothing happened')
  t.match((await visitor.open(`${broker.url}/admin/admins`)).body, 'Confirm your identity</a>')

  const form = await visitor.open(`${broker.url}/admin/keys/rotate`)
  const cookies = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  t.match(await visitor.press(form, 'Confirm', { password: 'wrong' }), {
    status: 422,
    body: 'password is incorrect',
  })
  const confirmation = await visitor.press(form, 'Confirm', { password: PASSWORD })
  t.equal(confirmation.url, `${broker.url}/admin/keys/rotate`)
  t.match((await visitor.press(confirmation, 'Rotate keys')).body, 'is now the active key')
  const old = await fetch(`${broker.url}/admin`, {
    headers: { cookie: cookies },
    redirect: 'manual',
  })
  t.equal(old.status, 303, 'the earlier session has ended')
  const actions = (await actionsOf(broker)).map(({ action }) => action)
  t.ok(actions.includes('admin.identity_confirmed'))
  t.match((await visitor.open(`${broker.url}/admin/admins`)).body, 'Initial password')
})

t.test('a viewer too ends sessions only after a recent sign-in', async (t) => {
  const broker = await buildBroker(t)
  const options = { email: EMAIL, role: 'viewer' as const }
  const [visitor, other] = [await signIn(broker, options), await signIn(broker, options)]
  broker.clock.advance(10 * MINUTE_MS)
  const account = `${broker.url}/admin/account`
  const form = await visitor.press(await visitor.open(account), 'End all other sessions')
  t.match(form.body, 'Nothing was changed yet')
  t.equal((await other.open(account)).url, account)
  const page = await visitor.press(form, 'Confirm', { password: PASSWORD })
  t.equal(page.url, account)
  t.match((await visitor.press(page, 'End all other sessions')).body, 'Ended 1 other session')
  t.match((await other.open(account)).url, '/sign-in')
})

t.test('confirming asks for the second factor, and returns only to the dashboard', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email: EMAIL })
  const newCode = await addFactor(broker)
  broker.clock.advance(10 * MINUTE_MS)
  const path = `${broker.url}/admin/confirm-identity?next=https://evil.example/`
  const form = await visitor.open(path)
  const confirm = (code: string) => visitor.press(form, 'Confirm', { password: PASSWORD, code })
  t.match(await confirm(''), { status: 422, body: 'Incorrect code' })
  t.match(await confirm('000000'), { status: 422, body: 'Incorrect code' })
  t.equal((await confirm(newCode())).url, `${broker.url}/admin`)
})

t.test('strangers cannot use up the attempts of a session to prove who it is', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email: EMAIL })
  visitor.cookies(broker.url).delete('device')
  const { loginThrottle } = broker.services
  for (let count = 0; count < 100; count++) {
    const browser = { userAgent: undefined, device: undefined, isAddressShared: false }
    const address = `192.0.2.${count}`
    await loginThrottle.take({
      ...{ kind: 'password', account: EMAIL, own: null },
      browser: { ...browser, address },
    })
  }
  const form = await visitor.open(`${broker.url}/admin/confirm-identity?next=/admin/keys`)
  const page = await visitor.press(form, 'Confirm', { password: PASSWORD })
  t.equal(page.url, `${broker.url}/admin/keys`)
})

t.test('passwords that are common or made of the account’s name are refused', async (t) => {
  const env = { BROKER_NAME: 'Kartenwerk Oberland GmbH' }
  const { services } = await buildBroker(t, { env })
  const { admins } = services
  const email = 'ada.lovelace@analytical-engine.example'
  const refused = {
    password1234: /similar to a common password/,
    'Password12345!': /similar to a common password/,
    passwordpassword: /easy to guess/,
    qwertyuiop12: /easy to guess/,
    aaaaaaaaaaaaaaaa: /repeats one character/,
    abcdefghijklm: /a sequence/,
    'ada.lovelace@analytical-engine.example': /made of your e-mail address/,
    'Lovelace-Ada-1815': /made of your e-mail address/,
    'analytical-engine': /made of your e-mail address/,
    ellipsisbroker: /program’s name/,
    'Admin-Dashboard-2026': /program’s name/,
    'Kartenwerk-2026!': /its host’s name/,
    oberlandgmbh12: /its host’s name/,
    'short words': /12 to 1024 characters/,
    ['trustno1'.repeat(100)]: /easy to guess/,
  }
  for (const [password, message] of Object.entries(refused)) {
    const adding = admins.add(email, new Secret(password), 'test')
    await t.rejects(adding, { code: 'invalid_request', message }, password.slice(0, 40))
  }
  await admins.add(email, new Secret(PASSWORD), 'test')
  const setting = admins.setPassword(email, new Secret('password1234'), 'test')
  await t.rejects(setting, { message: /common password/ })
})

t.test(
  'a new password forgets the browsers that were known, and keeps this one known',
  async (t) => {
    const broker = await buildBroker(t)
    const { store } = broker.services
    const visitor = await signIn(broker, { email: EMAIL })
    const admin = await store.findAdmin(EMAIL)
    const isKnown = async (secret: string | undefined) => {
      const { sha256 } = await import('../../../../server/crypto/hash.ts')
      const device = { secretHash: sha256(secret ?? ''), adminId: admin?.id ?? '' }
      return store.isDevice({ ...device, now: broker.clock.now() })
    }
    const cookies = () => visitor.cookies(broker.url)
    const before = cookies().get('device')
    t.equal(await isKnown(before), true)
    const page = await visitor.open(`${broker.url}/admin/account`)
    const next = 'another horse battery staple'
    const changed = await visitor.press(page, 'Change password', {
      ...{ password: PASSWORD, next, again: next },
    })
    t.match(changed, { url: `${broker.url}/admin/account`, body: 'Password changed' })
    t.equal(await isKnown(before), false)
    t.equal(await isKnown(cookies().get('device')), true)
    const [event] = (await actionsOf(broker)).filter(
      ({ action }) => action === 'admin.password_set',
    )
    t.match(event, { address: '127.0.0.1', actor: `admin:${EMAIL}` })
  },
)

t.test('a second factor that is guessed for months is slowed to three codes a day', async (t) => {
  const broker = await buildBroker(t)
  const owner = await signIn(broker, { email: EMAIL })
  const newCode = await addFactor(broker)
  /** Guesses for a day from browsers that the owner never used. Returns how many were checked. */
  const guessForADay = async () => {
    let checked = 0
    const end = broker.clock.now() + DAY_MS
    for (; broker.clock.now() < end; broker.clock.advance(16 * MINUTE_MS)) {
      for (let count = 0; count < 6; count++) {
        const { status } = await guess()
        if (status !== 401) break
        checked++
      }
    }
    return checked
  }
  const guess = async () => {
    const { signIn, sessions } = broker.services
    const admin = await broker.services.store.findAdmin(EMAIL)
    const browser = { address: '192.0.2.1', userAgent: undefined, device: undefined }
    const from = { ...browser, isAddressShared: false }
    const begun = admin && (await sessions.begin(admin, from, { halfway: true }))
    const halfway = begun && (await sessions.find(begun.session))
    if (!halfway) throw new Error('no session')
    const { kind } = await signIn.withCode(halfway, '000000', from)
    return { status: kind === 'refused' ? 401 : 429 }
  }
  t.ok((await guessForADay()) <= 33)
  for (let day = 0; day < 3; day++) t.ok((await guessForADay()) <= 3, 'three a day')

  owner.cookies(broker.url).delete('session')
  const inside = await signInWithCode(broker, newCode(), owner)
  t.equal(inside.url, `${broker.url}/admin`, 'the known browser is not slowed')
  t.ok((await guessForADay()) > 3, 'and ends the slow-down')
  t.ok((await guessForADay()) <= 3)
  const reset = new Secret('another horse battery staple')
  await broker.services.admins.setPassword(EMAIL, reset, 'test')
  t.ok((await guessForADay()) > 3, 'a new password ends it too')
})

t.test('who knows the password but not the second factor is recorded', async (t) => {
  const broker = await buildBroker(t)
  await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
  await addFactor(broker)
  await signInWithCode(broker, '000000')
  const [failed, pending] = await actionsOf(broker)
  const common = { actor: 'system', address: '127.0.0.1', details: EMAIL }
  t.match(failed, { action: 'admin.second_factor_failed', ...common })
  t.match(pending, { action: 'admin.second_factor_pending', ...common })
  const reader = await signIn(broker)
  const audit = await reader.open(`${broker.url}/admin/audit`)
  t.match(audit.body, 'Password correct, second factor pending')
})

t.test('events of admins, keys and roles have the address, or the command line', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email: EMAIL })
  const post = (path: string, fields: [string, string][] = []) =>
    postToDashboard(broker, visitor, `/admin${path}`, fields)
  await post('/admins', [
    ['email', 'bob@example.com'],
    ['password', PASSWORD],
    ['role', 'admin'],
  ])
  const bob = await broker.services.store.findAdmin('bob@example.com')
  await post(`/admins/${bob?.id}/role`, [['role', 'viewer']])
  await post(`/admins/${bob?.id}/remove`)
  const { kid } = await broker.services.keys.current('EdDSA')
  await post('/keys/rotate')
  await post(`/keys/${kid}/revoke`)
  const events = (await actionsOf(broker)).filter(({ actor }) => actor === `admin:${EMAIL}`)
  const actions = new Set(events.map(({ action }) => action))
  for (const action of ['admin.added', 'admin.role_set', 'admin.removed', 'key.activated'])
    t.ok(actions.has(action), action)
  t.ok(actions.has('key.revoked'))
  for (const { action, address } of events) t.equal(address, '127.0.0.1', action)

  t.equal((await cli(['key', 'rotate'], broker.env)).code, 0)
  t.match(
    (await visitor.open(`${broker.url}/admin/audit?action=key.activated`)).body,
    'Command line',
  )
})

t.test('with BROKER_REQUIRE_SECOND_FACTOR an admin without one can only set one up', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_REQUIRE_SECOND_FACTOR: 'true' } })
  await broker.services.admins.add(EMAIL, new Secret(PASSWORD), 'test')
  const visitor = new Visitor()
  const page = await visitor.open(`${broker.url}/admin/sign-in`)
  const form = await visitor.press(page, 'Sign in', { email: EMAIL, password: PASSWORD })
  const setUp = `${broker.url}/admin/account/second-factor`
  t.match(form, { url: setUp, body: 'requires a second factor' })
  t.notMatch(form.body, 'Signing keys')
  for (const { method, url, config } of broker.app.routeTable) {
    if (method !== 'GET' || !url.startsWith('/admin/') || config?.page !== 'admin') continue
    if (/sign-in|setup|confirm-identity/.test(url)) continue
    t.equal((await visitor.open(broker.url + url.replaceAll(/:\w+/g, 'x'))).url, setUp, url)
  }
  for (const path of ['/keys/rotate', '/account/password', '/admins', '/users/export']) {
    const body = new URLSearchParams({})
    const init = { method: 'POST', body, headers: { origin: broker.url } }
    t.equal((await visitor.open(`${broker.url}/admin${path}`, undefined, init)).url, setUp, path)
  }

  t.match(await cli(['admin', 'list'], broker.env), {
    code: 0,
    stdout: /Without .*ada@example\.com/,
  })
  t.match(
    (await cli(['doctor'], broker.env)).stdout,
    /warning {2}second factors: .*ada@example\.com/,
  )
  const proposal = await visitor.press(form, 'Set up', { password: PASSWORD })
  const secret = /id="key">([^<]+)</.exec(proposal.body)?.[1]?.replaceAll(' ', '') ?? ''
  const totp = new TOTP({ secret: OtpSecret.fromBase32(secret) })
  const code = totp.generate({ timestamp: broker.clock.now() })
  t.match(await visitor.press(proposal, 'Enable second factor', { code }), { body: 'only once' })
  t.match(await visitor.open(`${broker.url}/admin/keys`), { url: `${broker.url}/admin/keys` })
  t.notMatch((await cli(['admin', 'list'], broker.env)).stdout, 'Without')
  t.match((await cli(['doctor'], broker.env)).stdout, /ok +second factors: every admin has one/)
})

t.test('a key that was proposed can’t be confirmed at a browser that was left', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email: EMAIL })
  const path = `${broker.url}/admin/account/second-factor`
  broker.clock.advance(20 * MINUTE_MS)
  const proposal = await visitor.press(await visitor.open(path), 'Set up', { password: PASSWORD })
  const key = /id="key">([^<]+)</.exec(proposal.body)?.[1]?.replaceAll(' ', '') ?? ''
  t.match((await visitor.open(path)).body, 'Enable second factor', 'for some minutes')

  broker.clock.advance(10 * MINUTE_MS)
  t.notMatch((await visitor.open(path)).body, 'id="key"', 'nobody can read the key')
  const totp = new TOTP({ secret: OtpSecret.fromBase32(key) })
  const code = totp.generate({ timestamp: broker.clock.now() })
  const late = await visitor.press(proposal, 'Enable second factor', { code })
  t.match(late, { status: 422, body: 'Set up again' })
  const [admin] = await broker.services.admins.list()
  t.equal(admin?.secondFactorSince, null)
})
