import { Secret as OtpSecret, TOTP } from 'otpauth'
import t from 'tap'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { Visitor } from '../../../visitor.ts'

const email = 'ada@example.com'
const STEP_MS = 30_000

/** The code that an authenticator app shows, now or `laterMs` later. */
const codeOf = (secret: string, { clock }: TestBroker, laterMs = 0) =>
  new TOTP({ secret: OtpSecret.fromBase32(secret) }).generate({ timestamp: clock.now() + laterMs })

/** Adds a second factor in the dashboard. */
async function addFactor(broker: TestBroker) {
  const visitor = await signIn(broker, { email })
  const path = `${broker.url}/admin/account/second-factor`
  const proposal = await visitor.press(await visitor.open(path), 'Set up', { password: PASSWORD })
  const secret = /id="key">([^<]+)</.exec(proposal.body)?.[1]?.replaceAll(' ', '') ?? ''
  const wrong = await visitor.press(proposal, 'Enable second factor', { code: '000000' })
  const code = codeOf(secret, broker)
  const added = await visitor.press(proposal, 'Enable second factor', {
    code: `${code.slice(0, 3)} ${code.slice(3)}`,
  })
  const codes = [...added.body.matchAll(/<li><code>([^<]+)</g)].map(([, code = '']) => code)
  return { visitor, path, proposal, wrong, added, secret, code, codes }
}

/** Signs in with the password, up to the form for the code. */
async function signInWithPassword(broker: TestBroker) {
  const visitor = new Visitor()
  const signInPage = await visitor.open(`${broker.url}/admin/sign-in?next=/admin/keys`)
  const page = await visitor.press(signInPage, 'Sign in', { email, password: PASSWORD })
  const enterCode = (code: string) => visitor.press(page, 'Sign in', { code })
  return { visitor, page, enterCode }
}

t.test('once enabled, signing in requires a code, and each code works once', async (t) => {
  const broker = await buildBroker(t)
  const { proposal, wrong, added, secret, code, codes } = await addFactor(broker)
  t.match(proposal.body, /<svg xmlns/)
  t.match(wrong, { status: 422, body: 'Incorrect code' })
  t.match(added, { status: 200, body: 'shown only once' })
  t.equal(codes.length, 10)

  const { visitor, page, enterCode } = await signInWithPassword(broker)
  t.match(page.url, `${broker.url}/admin/sign-in/code?next=%2Fadmin%2Fkeys`)
  t.match(
    (await visitor.open(`${broker.url}/admin/keys`)).url,
    '/sign-in?next',
    'not signed in without the code',
  )
  t.match(await enterCode('000000'), {
    status: 401,
    body: 'Incorrect code, or the code was already used',
  })
  t.match(await enterCode(code), { status: 401 }, 'the code that enabled it')
  broker.clock.advance(STEP_MS)
  const fresh = codeOf(secret, broker)
  const inside = await enterCode(fresh)
  t.equal(inside.url, `${broker.url}/admin/keys`)

  const second = await signInWithPassword(broker)
  t.equal((await second.enterCode(fresh)).status, 401, 'already used')
  t.equal((await second.enterCode(codeOf(secret, broker, 2 * STEP_MS))).status, 401, 'too early')
  t.equal(
    (await second.enterCode(codeOf(secret, broker, STEP_MS))).status,
    200,
    'a clock a little ahead',
  )
  t.match(await second.visitor.open(page.url), { url: `${broker.url}/admin` })

  const actions = (await broker.services.store.listEvents({ limit: 50 })).rows.map(
    (one) => one.action,
  )
  t.ok(actions.includes('admin.second_factor_added'))
  t.ok(actions.includes('admin.second_factor_failed'))
})

t.test('a recovery code works once, with any capitals and separators', async (t) => {
  const broker = await buildBroker(t)
  const { codes, visitor, path } = await addFactor(broker)
  const [first = '', second = ''] = codes
  t.match(first, /^([a-z2-7]{4}-){5}[a-z2-7]{4}$/, '24 characters of 5 bits, more than 112 bits')
  t.equal((await (await signInWithPassword(broker)).enterCode(first.toUpperCase())).status, 200)
  t.equal((await (await signInWithPassword(broker)).enterCode(first)).status, 401)
  t.equal(
    (await (await signInWithPassword(broker)).enterCode(` ${second.replaceAll('-', ' ')} `)).status,
    200,
  )
  t.match((await visitor.open(path)).body, '8 recovery codes are left')

  const page = await visitor.open(path)
  const renew = (password: string, code: string) =>
    visitor.press(page, 'Create new recovery codes', { password, code })
  const [, , third = '', fourth = ''] = codes
  t.match(await renew('wrong', third), { status: 422, body: 'The current password is incorrect' })
  t.match(await renew(PASSWORD, first), { status: 422, body: 'Incorrect code' })
  const renewed = await renew(PASSWORD, third)
  const fresh = /<li><code>([^<]+)</.exec(renewed.body)?.[1] ?? ''
  t.equal((await (await signInWithPassword(broker)).enterCode(fourth)).status, 401, 'an old one')
  t.equal((await (await signInWithPassword(broker)).enterCode(fresh)).status, 200)
})

t.test('it is removed with password and code, and can be set up again', async (t) => {
  const broker = await buildBroker(t)
  const { visitor, path, code, codes } = await addFactor(broker)
  const page = await visitor.open(path)
  const remove = (password: string, code: string) =>
    visitor.press(page, 'Remove authenticator app', { password, code })
  const [recoveryCode = ''] = codes
  t.match(await remove('wrong', recoveryCode), { status: 422, body: 'password is incorrect' })
  for (const wrong of ['', '000000', code])
    t.match(await remove(PASSWORD, wrong), { status: 422, body: 'Incorrect code' })
  t.match(await remove(PASSWORD, recoveryCode), {
    url: `${broker.url}/admin/account`,
    body: 'Second factor removed',
  })
  t.equal(
    (await signInWithPassword(broker)).page.url,
    `${broker.url}/admin/keys`,
    'the password is enough',
  )
  const none = await visitor.press(page, 'Create new recovery codes', {
    password: PASSWORD,
    code: codes[1] ?? '',
  })
  t.match(none.body, 'You have no second factor')

  const setUpPage = await visitor.open(path)
  t.match(await visitor.press(setUpPage, 'Set up', { password: 'wrong' }), { status: 422 })
  const proposed = await visitor.press(setUpPage, 'Set up', { password: PASSWORD })
  const late = await visitor.press(proposed, 'Enable second factor', { code: '1' })
  t.equal(late.status, 422)
})

t.test('a proposed secret is confirmed once and not replaced afterwards', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email })
  const setUpPage = await visitor.open(`${broker.url}/admin/account/second-factor`)
  await addFactor(broker)
  const answer = await visitor.press(setUpPage, 'Set up', { password: PASSWORD })
  t.match(answer.body, 'You already have a second factor')
  const { secondFactors, store } = broker.services
  const admin = await store.findAdmin(email)
  t.equal(admin && (await secondFactors.confirm(admin, '123456', '::1')), undefined)
})

t.test('the secret is sealed for its row, and the session before the code is short', async (t) => {
  const broker = await buildBroker(t)
  const { secret } = await addFactor(broker)
  const admin = await broker.services.store.findAdmin(email)
  const factor = await broker.services.store.getSecondFactor(admin?.id ?? '')
  t.ok(factor)
  const sealed = factor?.secret ?? new Uint8Array()
  t.notOk(Buffer.from(sealed).includes(secret))
  const opened = broker.services.vault.open(`admins/${admin?.id ?? ''}/second_factor`, sealed)
  t.equal(opened.reveal(), secret)

  const { page, enterCode, visitor } = await signInWithPassword(broker)
  broker.clock.advance(5 * 60_000)
  t.equal((await visitor.open(page.url)).url, `${broker.url}/admin/sign-in`)
  const answer = await enterCode(codeOf(secret, broker))
  t.equal(answer.url, `${broker.url}/admin/sign-in`)
})

t.test('concurrent confirmations create one set of recovery codes', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email })
  const path = `${broker.url}/admin/account/second-factor`
  await visitor.press(await visitor.open(path), 'Set up', { password: PASSWORD })
  const { secondFactors, store } = broker.services
  const admin = await store.findAdmin(email)
  if (!admin) throw new Error('no admin')
  const secret = (await secondFactors.proposed(admin))?.secret.reveal() ?? ''
  const code = codeOf(secret, broker)
  const both = await Promise.all([1, 2].map(() => secondFactors.confirm(admin, code, '::1')))
  t.equal(both.filter((codes) => codes?.length === 10).length, 1)

  const { enterCode } = await signInWithPassword(broker)
  for (let count = 0; count < 5; count++) t.equal((await enterCode('000000')).status, 401)
  t.match(await enterCode('000000'), { status: 429, body: 'Too many failed attempts' })
})
