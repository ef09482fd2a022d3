import t from 'tap'
import type { Test } from 'tap'
import { StoreUnavailableError } from '../../../../db/errors.ts'
import type { Admin } from '../../../../db/store.ts'
import { Secret } from '../../../../server/secret.ts'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { TestBroker, TestOptions } from '../../../helper.ts'
import { migratedFolder } from '../../../db/temporary.ts'
import { OIDC_CLIENT, startIssuer } from '../../../oidc-issuer.ts'
import { Visitor } from '../../../visitor.ts'

const VIEWER = { groups: ['broker-viewers'] }
const ADMIN = { groups: ['broker-admins'] }
const ADA = 'ada@example.com'
const FRESH_PERIOD_MS = 10 * 60_000

async function start(t: Test, options: TestOptions = {}) {
  const issuer = await startIssuer(t)
  const broker = await buildBroker(t, { ...options, env: { ...issuer.env, ...options.env } })
  return { issuer, broker }
}

const enter = (broker: TestBroker, visitor = new Visitor(), next = '') =>
  visitor.open(`${broker.url}/admin/oidc/sign-in?next=${encodeURIComponent(next)}`)

/** Starts a sign-in, and returns the URL of the callback without opening it. */
const enterUntilCallback = async (broker: TestBroker, visitor: Visitor) =>
  (await visitor.open(`${broker.url}/admin/oidc/sign-in`, `${broker.url}/admin/oidc/callback`)).url

const accounts = async ({ services }: TestBroker) =>
  (await services.admins.list()).map(({ email, role }) => `${email} ${role}`)

const actionsOf = async ({ services }: TestBroker) =>
  (await services.store.listEvents({ limit: 50 })).rows
    .map(({ action }) => action)
    .filter((action) => action.startsWith('admin.'))
    .reverse()

t.test('the claim decides the role, at the first and at each later sign-in', async (t) => {
  const { issuer, broker } = await start(t)
  const page = await new Visitor().open(`${broker.url}/admin/sign-in`)
  const { host } = new URL(issuer.url)
  t.match(page.body, `Sign in with ${host}`)
  t.match(page.body, `whom ${host} gives the role admin`)
  t.equal(issuer.calls.length, 0, 'the page does not wait for the identity provider')

  issuer.answers.claims = { ...ADMIN, email: ADA, sid: 's1' }
  const visitor = new Visitor()
  const home = await enter(broker, visitor, '/admin/keys?x=1')
  t.equal(home.url, `${broker.url}/admin/keys?x=1`)
  const [first] = await accounts(broker)
  t.match(first, /^ada@example\.com#[a-z0-9_-]{10} admin$/)
  t.match(home.body, first?.split(' ')[0])
  const overview = await visitor.open(`${broker.url}/admin`)
  t.notMatch(overview.body, 'No second factor', 'that is the task of the provider')
  t.match(await visitor.open(`${broker.url}/admin/admins`), { body: `${ADA}</bdi> at ${host}` })

  issuer.answers.claims = { ...VIEWER, email: 'other@example.com' }
  const viewer = new Visitor()
  t.equal((await enter(broker, viewer)).url, `${broker.url}/admin`)
  t.strictSame(await accounts(broker), [first?.replace(' admin', ' viewer')], 'the same account')
  t.match(await viewer.open(`${broker.url}/admin/admins`), { body: 'other@example.com</bdi>' })

  issuer.answers.claims = { groups: ['strangers'], email: ADA }
  const refused = await enter(broker)
  t.equal(refused.status, 403)
  t.match(refused.body, `${ADA} has no access to this dashboard`)
  t.match((await viewer.open(`${broker.url}/admin`)).url, '/admin/sign-in', 'and it is signed out')
  t.match((await visitor.open(`${broker.url}/admin`)).url, '/admin/sign-in')
  t.strictSame(await actionsOf(broker), [
    ...['admin.added', 'admin.signed_in', 'admin.role_set', 'admin.signed_in'],
    ...['admin.oidc_refused', 'admin.session_ended'],
  ])
  t.equal(broker.logged.filter((line) => line.includes('gives a role')).length, 1)

  for (let attempt = 2; attempt <= 10; attempt++) t.equal((await enter(broker)).status, 403)
  t.equal((await enter(broker)).status, 429, 'it can’t fill the audit log')
  const refusals = (await actionsOf(broker)).filter((action) => action === 'admin.oidc_refused')
  t.equal(refusals.length, 10)
})

t.test('claims of the userinfo endpoint and nested claims count', async (t) => {
  const { issuer, broker } = await start(t, {
    env: {
      BROKER_ADMIN_OIDC_ROLE_CLAIM: 'realm_access.roles',
      BROKER_ADMIN_OIDC_SCOPE: 'openid a',
    },
  })
  issuer.answers.userInfo = { realm_access: { roles: ['ops'] }, sub: 'someone else' }
  t.equal((await enter(broker)).status, 403, 'userinfo of another subject')
  issuer.answers.userInfo = { realm_access: { roles: ['ops'] } }
  t.equal((await enter(broker)).status, 200)
  t.match(await accounts(broker), [/^u1#.* admin$/])
  issuer.answers.claims = { realm_access: { roles: ['nothing'] } }
  t.equal((await enter(broker)).status, 403, 'the ID token has the claim, so it decides')
  t.equal(issuer.requested[0]?.get('scope'), 'openid a')
})

t.test('an e-mail address links and takes over nothing', async (t) => {
  const { issuer, broker } = await start(t)
  await signIn(broker, { email: ADA })
  issuer.answers.claims = { ...VIEWER, email: ADA, email_verified: true }
  await enter(broker)
  issuer.answers.claims = { ...VIEWER, email: ADA, email_verified: true, sub: 'u2' }
  await enter(broker)
  const all = await broker.services.admins.list()
  t.equal(all.length, 3)
  const local = all.find(({ email }) => email === ADA)
  t.match(local, { role: 'admin', oidcIssuer: null })
  await t.rejects(broker.services.admins.add('x@example.com#0123456789', null, 'test'))

  issuer.answers.claims = { ...VIEWER, sub: 'u3', email: '<b>x</b>\u202e\n', name: 'Ada Lovelace' }
  t.notMatch((await enter(broker)).body, '<b>x')
  issuer.answers.claims = { ...VIEWER, sub: 'u4', name: 'Ada Lovelace' }
  t.match((await enter(broker)).body, /ada-lovelace#/)
})

t.test('the same subject at another issuer is someone else', async (t) => {
  const { issuer, broker } = await start(t)
  const oidc = { oidcIssuer: 'https://other.example.com', oidcSubject: 'u1', oidcLabel: 'u1' }
  const other = { id: 'adm_other', email: 'zoe#other', passwordHash: '', createdAt: 0, ...oidc }
  await broker.services.store.addAdmin({ ...other, role: 'admin' }, { events: [] })
  issuer.answers.claims = VIEWER
  await enter(broker)
  t.match(await accounts(broker), [/^u1#.* viewer$/, 'zoe#other admin'])
})

t.test('sessions end with the setting of the provider that began them', async (t) => {
  const issuer = await startIssuer(t)
  issuer.answers.claims = ADMIN
  const dataDir = await migratedFolder(t)
  const visitor = new Visitor()
  const cookies = new Map<string, string>()
  const isIn = async (env: Record<string, string>, begin = false) => {
    const ends: (() => unknown)[] = []
    const broker = await buildBroker({ teardown: (end) => ends.push(end) }, { dataDir, env })
    const { origin } = new URL(broker.url)
    if (begin) await enter(broker, visitor)
    if (begin) for (const [name, value] of visitor.cookies(origin)) cookies.set(name, value)
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const answer = await fetch(`${broker.url}/admin`, { headers: { cookie }, redirect: 'manual' })
    for (const end of ends.reverse()) await end()
    return answer.status === 200
  }
  t.equal(await isIn(issuer.env, true), true)
  t.equal(await isIn(issuer.env), true, 'after a restart')
  const other = { ...issuer.env, BROKER_ADMIN_OIDC_ISSUER: 'https://x.example' }
  t.equal(await isIn(other), false, 'another provider')
  t.equal(await isIn({}), false, 'none')
})

t.test('an admin links an account and unlinks it', async (t) => {
  const { issuer, broker } = await start(t)
  const visitor = await signIn(broker, { email: ADA })
  const { host } = new URL(issuer.url)
  issuer.answers.claims = { ...VIEWER, email: 'a@corp.example', auth_time: now() }
  const link = async () => {
    const confirm = await visitor.open(`${broker.url}/admin/account/oidc/link`)
    return visitor.press(confirm, `Continue to ${host}`)
  }
  const linked = await link()
  t.equal(linked.url, `${broker.url}/admin/account`)
  t.match(linked.body, 'Linked a@corp.example')
  t.match(linked.body, `a@corp.example</bdi> at ${host}`)
  t.strictSame(await accounts(broker), [`${ADA} admin`], 'a link changes no role')

  await t.test('the last local admin keeps the role', async (t) => {
    const elsewhere = new Visitor()
    const page = await enter(broker, elsewhere)
    t.match(page.body, 'You keep the role admin')
    await broker.services.admins.add('eve@example.com', null, 'test', 'admin')
    t.match((await enter(broker)).body, 'You keep the role admin', 'the other one has no password')
    t.strictSame(await accounts(broker), [`${ADA} admin`, 'eve@example.com admin'])
    await broker.services.admins.add('bob@example.com', new Secret(PASSWORD), 'test', 'admin')
    t.notMatch((await enter(broker)).body, 'You keep the role admin')
    t.match(await accounts(broker), [`${ADA} viewer`])
    issuer.answers.claims = { groups: [], email: 'a@corp.example' }
    t.equal((await enter(broker)).status, 403)
    t.match(await accounts(broker), [`${ADA} viewer`], 'a claim removes nobody')
  })

  issuer.answers.claims = { ...ADMIN, email: 'a@corp.example' }
  const confirm = await visitor.open(`${broker.url}/admin/account/oidc/unlink`)
  const provider = new Visitor()
  await enter(broker, provider)
  t.match((await visitor.press(confirm, 'Unlink account')).body, `${host} no longer signs you in`)
  t.match((await provider.open(`${broker.url}/admin`)).url, '/admin/sign-in', 'its session ended')
  await enter(broker)
  t.match(
    await accounts(broker),
    [/^a@corp\.example#.* admin$/, `${ADA} admin`],
    'someone else now',
  )

  const taken = await link()
  t.match(taken.body, 'already linked to another admin')
  issuer.answers.claims = { groups: [], sub: 'u9' }
  t.equal((await link()).status, 403, 'nobody without a role is linked')
  t.ok((await actionsOf(broker)).includes('admin.oidc_unlinked'))
})

t.test('sensitive pages need a recent auth_time', async (t) => {
  const { issuer, broker } = await start(t)
  const { host } = new URL(issuer.url)
  const visitor = new Visitor()
  issuer.answers.claims = { ...ADMIN, auth_time: now() - 11 * 60 }
  await enter(broker, visitor)
  const rotate = () => visitor.open(`${broker.url}/admin/keys/rotate`)
  const late = await rotate()
  t.match(late.url, '/admin/confirm-identity')
  t.match(late.body, `Confirm with ${host}`)
  t.notMatch(late.body, 'Current password')
  const confirm = () =>
    visitor.open(`${broker.url}/admin/confirm-identity/oidc?next=/admin/keys/rotate`)
  t.match((await confirm()).body, 'did not confirm that you have just signed in')
  const request = issuer.requested.at(-1)
  t.strictSame([request?.get('prompt'), request?.get('max_age')], ['login', '0'])

  issuer.answers.claims = ADMIN
  t.match((await confirm()).body, 'did not confirm that you have just signed in', 'no auth_time')
  issuer.answers.claims = { ...ADMIN, sub: 'u2', auth_time: now() }
  t.match((await confirm()).body, 'is not your account')
  t.match(await accounts(broker), [/^u1#/], 'nobody is added by that')

  issuer.answers.claims = { ...ADMIN, auth_time: now() + 3600 }
  const done = await confirm()
  t.equal(done.url, `${broker.url}/admin/keys/rotate`)
  t.equal((await rotate()).url, done.url)
  broker.clock.advance(FRESH_PERIOD_MS)
  t.match((await rotate()).url, '/admin/confirm-identity', 'a clock that is ahead gives no more')
  t.ok((await actionsOf(broker)).includes('admin.identity_confirmed'))

  issuer.answers.claims = { ...VIEWER, auth_time: now() + 3600 }
  await confirm()
  t.match(await accounts(broker), [/ viewer$/], 'the role is read then, too')
  const { sessions } = broker.services
  const [admin] = await broker.services.admins.list()
  t.equal((await sessions.list(admin?.id ?? '')).length, 1, 'the session was replaced')
})

t.test('back-channel logout ends sessions by sid or sub', async (t) => {
  const { issuer, broker } = await start(t)
  const open = async (sub: string, sid: string) => {
    issuer.answers.claims = { ...ADMIN, sub, sid }
    const visitor = new Visitor()
    await enter(broker, visitor)
    return visitor
  }
  const isIn = async (visitor: Visitor) =>
    (await visitor.open(`${broker.url}/admin`)).url === `${broker.url}/admin`
  const send = async (token: string) => {
    const body = new URLSearchParams({ logout_token: token })
    const response = await fetch(`${broker.url}/admin/oidc/logout`, { method: 'POST', body })
    t.equal(response.headers.get('cache-control'), 'no-store')
    return response.status
  }
  const [one, two, three] = [await open('u1', 's1'), await open('u1', 's2'), await open('u2', 's3')]
  const local = await signIn(broker)

  const refused: [string, string][] = [
    ['garbage', 'x.y.z'],
    ['unsigned', await issuer.logoutToken({ sub: 'u1' }, 'none')],
    ['of an unknown key', await issuer.logoutToken({ sub: 'u1' }, 'unknown')],
    ['of another issuer', await issuer.logoutToken({ sub: 'u1', iss: 'https://x.example' })],
    ['for another client', await issuer.logoutToken({ sub: 'u1', aud: 'someone' })],
    ['without subject', await issuer.logoutToken({})],
    ['without events', await issuer.logoutToken({ sub: 'u1', events: undefined })],
    ['with another event', await issuer.logoutToken({ sub: 'u1', events: { x: {} } })],
    ['without jti', await issuer.logoutToken({ sub: 'u1', jti: undefined as never })],
    ['an ID token', await issuer.logoutToken({ sub: 'u1', nonce: 'n' })],
    ['expired', await issuer.logoutToken({ sub: 'u1', exp: now() - 60 })],
    ['old', await issuer.logoutToken({ sub: 'u1', iat: now() - 3600 })],
  ]
  for (const [name, token] of refused) t.equal(await send(token), 400, name)
  t.strictSame([await isIn(one), await isIn(two), await isIn(three)], [true, true, true])

  const token = await issuer.logoutToken({ sub: 'u1', sid: 's1' })
  t.equal(await send(token), 200)
  t.strictSame([await isIn(one), await isIn(two), await isIn(three)], [false, true, true])
  t.equal(await send(token), 400, 'a token works once')
  const { store } = broker.services
  const { endOidcSessions } = store
  store.endOidcSessions = () => Promise.reject(new StoreUnavailableError('locked', null))
  const again = await issuer.logoutToken({ sid: 's3' })
  t.equal(await send(again), 503)
  store.endOidcSessions = endOidcSessions
  t.equal(await send(again), 200, 'the provider sends it again')
  t.equal(await isIn(three), false)
  t.equal(await send(await issuer.logoutToken({ sub: 'u1' })), 200)
  t.equal(await send(await issuer.logoutToken({ sub: 'nobody' })), 200)
  t.strictSame([await isIn(two), await isIn(three), await isIn(local)], [false, false, true])
  t.equal((await fetch(`${broker.url}/admin/oidc/logout`)).status, 405)
  t.equal((await fetch(`${broker.url}/admin/oidc/logout`, { method: 'POST' })).status, 400)
})

t.test('attacks on a flow fail', async (t) => {
  const { issuer, broker } = await start(t)
  issuer.answers.claims = ADMIN
  const isRefused = async (name: string, page: { status: number; url: string; body: string }) => {
    t.equal(page.status, 403, name)
    t.notMatch(page.body, 'Overview', name)
    t.strictSame(await accounts(broker), [], name)
  }

  const victim = new Visitor()
  const url = await enterUntilCallback(broker, victim)
  await isRefused('a callback in another browser', await new Visitor().open(url))
  const other = await enterUntilCallback(broker, new Visitor())
  await isRefused('the callback of another browser', await victim.open(other))
  const swapped = new URL(url)
  swapped.searchParams.set('code', new URL(other).searchParams.get('code') ?? '')
  await isRefused('the code of another flow', await victim.open(swapped.href))
  await isRefused('the state a second time', await victim.open(url))
  const own = await enterUntilCallback(broker, victim)
  const cookies = new Map(victim.cookies(new URL(broker.url).origin))
  issuer.answers.claims = { groups: [] }
  await victim.open(own)
  for (const [name, value] of cookies) victim.cookies(new URL(broker.url).origin).set(name, value)
  const count = issuer.calls.length
  await isRefused('the state a second time, with its cookie', await victim.open(own))
  t.equal(issuer.calls.length, count, 'the identity provider is not asked again')
  await isRefused('no state', await victim.open(`${broker.url}/admin/oidc/callback?code=x`))

  const attempts: [string, () => void][] = [
    ['another nonce', () => (issuer.answers.claims = { ...ADMIN, nonce: 'x' })],
    ['no nonce', () => (issuer.answers.claims = { ...ADMIN, nonce: undefined })],
    ['another audience', () => (issuer.answers.claims = { ...ADMIN, aud: 'someone' })],
    [
      'another party',
      () => (issuer.answers.claims = { ...ADMIN, aud: ['x', OIDC_CLIENT.id], azp: 'x' }),
    ],
    ['another issuer', () => (issuer.answers.claims = { ...ADMIN, iss: 'https://x.example' })],
    ['no subject', () => (issuer.answers.claims = { ...ADMIN, sub: '' })],
    [
      'a subject that is too long',
      () => (issuer.answers.claims = { ...ADMIN, sub: 'x'.repeat(256) }),
    ],
    ['an expired ID token', () => (issuer.answers.claims = { ...ADMIN, exp: now() - 3600 })],
    ['an unknown key', () => (issuer.answers.signature = 'unknown')],
    ['an unsigned ID token', () => (issuer.answers.signature = 'none')],
    ['mix-up', () => (issuer.answers.callback = (q) => q.set('iss', 'https://x.example'))],
    ['two codes', () => (issuer.answers.callback = (q) => q.append('code', 'x'))],
    ['an error', () => (issuer.answers.callback = (q) => q.set('error', 'access_denied'))],
  ]
  for (const [name, prepare] of attempts) {
    Object.assign(issuer.answers, { claims: ADMIN, signature: 'own', callback: () => undefined })
    prepare()
    broker.clock.advance(15 * 60_000)
    await isRefused(name, await enter(broker))
  }
  Object.assign(issuer.answers, { claims: ADMIN, callback: () => undefined })

  const late = await enterUntilCallback(broker, victim)
  broker.clock.advance(10 * 60_000)
  await isRefused('an expired flow', await victim.open(late))

  for (const next of [
    'https://evil.example/admin',
    '//evil.example/admin',
    '/\\evil.example',
    '/x',
  ])
    t.equal((await enter(broker, new Visitor(), next)).url, `${broker.url}/admin`, next)
  t.notMatch(broker.logged.join(''), /code-\d|state=/)
})

t.test('failed attempts are limited by address', async (t) => {
  const { issuer, broker } = await start(t)
  issuer.answers.claims = { ...ADMIN, nonce: 'x' }
  for (let count = 0; count < 10; count++) t.equal((await enter(broker)).status, 403)
  const { length } = issuer.calls
  const slowed = await enter(broker)
  t.equal(slowed.status, 429)
  t.match(slowed.body, 'Too many failed attempts')
  t.equal(issuer.calls.length, length, 'the identity provider is not asked')
  await signIn(broker)
  broker.clock.advance(15 * 60_000)
  issuer.answers.claims = ADMIN
  for (let count = 0; count < 12; count++) t.equal((await enter(broker)).status, 200)
})

t.test('no session of before is continued, and none is linked from another', async (t) => {
  const { issuer, broker } = await start(t)
  issuer.answers.claims = ADMIN
  const visitor = new Visitor()
  const origin = new URL(broker.url).origin
  const callback = await enterUntilCallback(broker, visitor)
  visitor.cookies(origin).set('session', 'fixed')
  await visitor.open(callback)
  t.not(visitor.cookies(origin).get('session'), 'fixed')
  t.equal([...visitor.cookies(origin).keys()].filter((name) => name.startsWith('oidc-')).length, 0)

  const local = await signIn(broker, { email: ADA })
  const { host } = new URL(issuer.url)
  const page = await local.open(`${broker.url}/admin/account/oidc/link`)
  const back = await local.press(
    page,
    `Continue to ${host}`,
    {},
    `${broker.url}/admin/oidc/callback`,
  )
  const own = local.cookies(origin).get('session') ?? ''
  local.cookies(origin).delete('session')
  t.match((await local.open(back.url)).url, '/admin/sign-in', 'signed out meanwhile')
  local.cookies(origin).set('session', own)
  t.match(await broker.services.admins.find(ADA), { oidcIssuer: null })
  const form = new URLSearchParams({ _csrf: 'x' })
  const cross = await local.open(`${broker.url}/admin/account/oidc/link`, undefined, {
    method: 'POST',
    body: form,
    headers: { origin: 'https://evil.example' },
  })
  t.equal(cross.status, 403, 'another site starts no link')

  for (let count = 0; count < 7; count++) await enterUntilCallback(broker, local)
  t.equal([...local.cookies(origin).keys()].filter((name) => name.startsWith('oidc-')).length, 4)
})

t.test('while the identity provider is down, local sign-in works', async (t) => {
  const { issuer, broker } = await start(t)
  issuer.answers.outage = 503
  const down = await enter(broker)
  t.equal(down.status, 503)
  t.match(down.body, /can’t be reached at the moment/)
  t.match(broker.logged.join(''), /"reason":"no metadata of [^}]*failed: unreachable/)
  t.match(down.body, 'E-mail address')
  await enter(broker)
  t.equal(issuer.calls.length, 1, 'it is not asked again at once')
  await signIn(broker)
  issuer.answers.outage = null
  issuer.answers.claims = ADMIN
  broker.clock.advance(5000)
  t.equal((await enter(broker)).status, 200)
  t.equal((await enter(broker)).status, 200)
  const count = (path: string) => issuer.calls.filter((call) => call === path).length
  t.equal(count('/.well-known/openid-configuration'), 2, 'metadata are kept')
  t.equal(count('/jwks'), 1, 'and so are the keys')

  const visitor = new Visitor()
  const callback = await enterUntilCallback(broker, visitor)
  issuer.stop()
  const page = await visitor.open(callback)
  t.equal(page.status, 503)
  t.match(page.body, 'can’t be reached')
  broker.clock.advance(3_600_000)
  const later = await visitor.open(`${broker.url}/admin/oidc/sign-in`, issuer.url)
  t.ok(later.url.startsWith(issuer.url), 'old metadata are better than none')
})

t.test('metadata of another issuer are refused', async (t) => {
  const { issuer, broker } = await start(t)
  issuer.answers.metadata = { issuer: 'https://x.example' }
  t.equal((await enter(broker)).status, 503)
})

t.test('with passwords off, a link of the command line signs in once', async (t) => {
  const env = { BROKER_ADMIN_PASSWORDS: 'false', BROKER_REQUIRE_SECOND_FACTOR: 'true' }
  const { broker } = await start(t, { env })
  const { admins, signInLinks, setup, signIn: local } = broker.services
  t.equal(await setup.invite(), undefined)
  await admins.add(ADA, new Secret(PASSWORD), 'test')
  const form = await new Visitor().open(`${broker.url}/admin/sign-in`)
  t.notMatch(form.body, /type="password"|passkey/)
  const browser = { address: '::1', userAgent: '', device: undefined, isAddressShared: false }
  t.match(await local.withPassword(ADA, new Secret(PASSWORD), browser), { kind: 'refused' })

  const former = signInLinks.create((await admins.find(ADA)) as Admin)
  const admin = await admins.setPassword(ADA, new Secret(`${PASSWORD} 2`), 'test')
  if (!admin) throw new Error('no admin')
  t.equal(await signInLinks.find(former), undefined, 'it ends with the password')
  const link = `${broker.url}/admin/sign-in/link/${signInLinks.create(admin).reveal()}`
  const visitor = new Visitor()
  const page = await visitor.open(link)
  t.match(page.body, ADA)
  const again = await visitor.open(link)
  t.equal((await visitor.press(page, 'Sign in')).url, `${broker.url}/admin`)
  t.equal((await visitor.press(again, 'Sign in')).status, 403, 'it works once')
  t.equal((await visitor.press({ ...again, url: `${link}=` }, 'Sign in')).status, 403)
  t.equal((await visitor.open(`${broker.url}/admin/sign-in/link/x`)).status, 404)
  const account = await visitor.open(`${broker.url}/admin/account`)
  t.notMatch(account.body, 'Change password')
  t.equal((await visitor.open(`${broker.url}/admin/account/second-factor`)).status, 404)
  t.match((await visitor.open(`${broker.url}/admin/admins`)).body, 'Passwords are off')
  broker.clock.advance(FRESH_PERIOD_MS)
  t.match((await visitor.open(`${broker.url}/admin/keys/rotate`)).body, `admin add ${ADA}`)
  broker.clock.advance(3_600_000)
  t.equal((await visitor.open(link)).status, 404)
})

t.test('accounts of the identity provider have no second factor here', async (t) => {
  const env = { BROKER_REQUIRE_SECOND_FACTOR: 'true' }
  const { issuer, broker } = await start(t, { env, basePath: '/broker' })
  issuer.answers.claims = { ...ADMIN, auth_time: now() }
  const visitor = new Visitor()
  t.equal((await enter(broker, visitor)).url, `${broker.url}/admin`)
  t.equal((await visitor.open(`${broker.url}/admin/account/second-factor`)).status, 404)
  const unlink = await visitor.open(`${broker.url}/admin/account/oidc/unlink`)
  t.match((await visitor.press(unlink, 'Unlink account')).body, 'Nothing was unlinked')
})

t.test('without an identity provider there are no such routes', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  for (const path of [
    'oidc/sign-in',
    'oidc/callback',
    'account/oidc/link',
    'confirm-identity/oidc',
  ])
    t.equal((await visitor.open(`${broker.url}/admin/${path}`)).status, 404, path)
  t.notMatch((await visitor.open(`${broker.url}/admin/account`)).body, 'Identity provider')
})

const now = () => Math.floor(Date.now() / 1000)
