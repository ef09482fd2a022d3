import { Secret as OtpSecret, TOTP } from 'otpauth'
import t from 'tap'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { Visitor } from '../../../visitor.ts'

const email = 'ada@example.com'
const STEP = 30_000

/** The code that an authenticator app shows. */
const codeOf = (secret: string, { clock }: TestBroker, later = 0) =>
  new TOTP({ secret: OtpSecret.fromBase32(secret) }).generate({ timestamp: clock.now() + later })

/** Adds a second factor as its owner does. */
async function addFactor(broker: TestBroker) {
  const visitor = await signIn(broker, { email })
  const path = `${broker.url}/admin/account/second-factor`
  const asked = await visitor.press(await visitor.open(path), 'Begin', { password: PASSWORD })
  const secret = /id="key">([^<]+)</.exec(asked.body)?.[1]?.replaceAll(' ', '') ?? ''
  const wrong = await visitor.press(asked, 'Add the second factor', { code: '000000' })
  const code = codeOf(secret, broker)
  const added = await visitor.press(asked, 'Add the second factor', {
    code: `${code.slice(0, 3)} ${code.slice(3)}`,
  })
  const codes = [...added.body.matchAll(/<li><code>([^<]+)</g)].map(([, code = '']) => code)
  return { visitor, path, asked, wrong, added, secret, code, codes }
}

/** As far as the question for the code. */
async function knock(broker: TestBroker) {
  const visitor = new Visitor()
  const door = await visitor.open(`${broker.url}/admin/sign-in?next=/admin/keys`)
  const page = await visitor.press(door, 'Sign in', { email, password: PASSWORD })
  const enter = (code: string) => visitor.press(page, 'Sign in', { code })
  return { visitor, page, enter }
}

t.test('once added, a code is asked for, and is good once', async (t) => {
  const broker = await buildBroker(t)
  const { asked, wrong, added, secret, code, codes } = await addFactor(broker)
  t.match(asked.body, /<svg xmlns/)
  t.match(wrong, { status: 422, body: 'This code is not right' })
  t.match(added, { status: 200, body: 'shown this once' })
  t.equal(codes.length, 10)

  const { visitor, page, enter } = await knock(broker)
  t.match(page.url, `${broker.url}/admin/sign-in/code?next=%2Fadmin%2Fkeys`)
  t.match((await visitor.open(`${broker.url}/admin/keys`)).url, '/sign-in?next', 'half is not in')
  t.match(await enter('000000'), { status: 401, body: 'is not right, or was used before' })
  t.match(await enter(code), { status: 401 }, 'the code that confirmed it')
  broker.clock.advance(STEP)
  const fresh = codeOf(secret, broker)
  const inside = await enter(fresh)
  t.equal(inside.url, `${broker.url}/admin/keys`)

  const second = await knock(broker)
  t.equal((await second.enter(fresh)).status, 401, 'used before')
  t.equal((await second.enter(codeOf(secret, broker, 2 * STEP))).status, 401, 'too early')
  t.equal((await second.enter(codeOf(secret, broker, STEP))).status, 200, 'a clock a little ahead')
  t.match(await second.visitor.open(page.url), { url: `${broker.url}/admin` })

  const actions = (await broker.services.store.listEvents({ limit: 50 })).rows.map(
    (one) => one.action,
  )
  t.ok(actions.includes('admin.second_factor_added'))
  t.ok(actions.includes('admin.second_factor_failed'))
})

t.test('a recovery code lets in once, however it is typed', async (t) => {
  const broker = await buildBroker(t)
  const { codes, visitor, path } = await addFactor(broker)
  const [first = '', second = ''] = codes
  t.match(first, /^([a-z2-7]{4}-){3}[a-z2-7]{4}$/)
  t.equal((await (await knock(broker)).enter(first.toUpperCase())).status, 200)
  t.equal((await (await knock(broker)).enter(first)).status, 401)
  t.equal((await (await knock(broker)).enter(` ${second.replaceAll('-', ' ')} `)).status, 200)
  t.match((await visitor.open(path)).body, '8 recovery codes are left')

  const page = await visitor.open(path)
  const renew = (password: string) => visitor.press(page, 'Make new recovery codes', { password })
  t.match(await renew('wrong'), { status: 422, body: 'Your current password is another' })
  const renewed = await renew(PASSWORD)
  const fresh = /<li><code>([^<]+)</.exec(renewed.body)?.[1] ?? ''
  t.equal((await (await knock(broker)).enter(codes[2] ?? '')).status, 401, 'an old one')
  t.equal((await (await knock(broker)).enter(fresh)).status, 200)
})

t.test('it is removed with the password, and proposed anew', async (t) => {
  const broker = await buildBroker(t)
  const { visitor, path } = await addFactor(broker)
  const page = await visitor.open(path)
  const remove = (password: string) => visitor.press(page, 'Remove the second factor', { password })
  t.match(await remove('wrong'), { status: 422 })
  t.match(await remove(PASSWORD), { url: `${broker.url}/admin/account`, body: 'is removed' })
  t.equal((await knock(broker)).page.url, `${broker.url}/admin/keys`, 'the password alone')
  const none = await visitor.press(page, 'Make new recovery codes', { password: PASSWORD })
  t.match(none.body, 'You have no second factor')

  const begin = await visitor.open(path)
  t.match(await visitor.press(begin, 'Begin', { password: 'wrong' }), { status: 422 })
  const proposed = await visitor.press(begin, 'Begin', { password: PASSWORD })
  const late = await visitor.press(proposed, 'Add the second factor', { code: '1' })
  t.equal(late.status, 422)
})

t.test('what was proposed is confirmed once, and not replaced after', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email })
  const begin = await visitor.open(`${broker.url}/admin/account/second-factor`)
  await addFactor(broker)
  const answer = await visitor.press(begin, 'Begin', { password: PASSWORD })
  t.match(answer.body, 'You have a second factor already')
  const { secondFactors, store } = broker.services
  const admin = await store.findAdmin(email)
  t.equal(admin && (await secondFactors.confirm(admin, '123456', '::1')), undefined)
})

t.test('the secret is sealed in its place, and the halfway session is short', async (t) => {
  const broker = await buildBroker(t)
  const { secret } = await addFactor(broker)
  const admin = await broker.services.store.findAdmin(email)
  const factor = await broker.services.store.getSecondFactor(admin?.id ?? '')
  t.ok(factor)
  const sealed = factor?.secret ?? new Uint8Array()
  t.notOk(Buffer.from(sealed).includes(secret))
  const opened = broker.services.vault.open(`admins/${admin?.id ?? ''}/second_factor`, sealed)
  t.equal(opened.reveal(), secret)

  const { page, enter, visitor } = await knock(broker)
  broker.clock.advance(5 * 60_000)
  t.equal((await visitor.open(page.url)).url, `${broker.url}/admin/sign-in`)
  const answer = await enter(codeOf(secret, broker))
  t.equal(answer.url, `${broker.url}/admin/sign-in`)
})

t.test('two who confirm at once get one set of recovery codes', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker, { email })
  const path = `${broker.url}/admin/account/second-factor`
  await visitor.press(await visitor.open(path), 'Begin', { password: PASSWORD })
  const { secondFactors, store } = broker.services
  const admin = await store.findAdmin(email)
  if (!admin) throw new Error('no admin')
  const secret = (await secondFactors.proposed(admin))?.secret.reveal() ?? ''
  const code = codeOf(secret, broker)
  const both = await Promise.all([1, 2].map(() => secondFactors.confirm(admin, code, '::1')))
  t.equal(both.filter((codes) => codes?.length === 10).length, 1)

  const { enter } = await knock(broker)
  for (let count = 0; count < 5; count++) t.equal((await enter('000000')).status, 401)
  t.match(await enter('000000'), { status: 429, body: 'Too many attempts failed' })
})
