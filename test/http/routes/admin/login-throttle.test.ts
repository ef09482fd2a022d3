import type { Argon2Parameters } from 'node:crypto'
import t from 'tap'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker, cheapHashing } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { serve } from '../../../processes.ts'
import { Secret } from '../../../../server/secret.ts'
import { Visitor } from '../../../visitor.ts'
import { csrfTokenOf } from './dashboard.ts'

const MINUTE_MS = 60_000
const env = { BROKER_TRUST_PROXY: '127.0.0.1' }

/** Tries to sign in from the given IP address. */
async function attempt(
  { url }: Pick<TestBroker, 'url'>,
  options: {
    email?: string
    password?: string
    address?: string
    visitor?: Visitor
    /** The name under which the browser reaches it. */
    host?: string
  } = {},
) {
  const { email = 'ada@example.com', password = 'wrong', address = '192.0.2.1' } = options
  const visitor = options.visitor ?? new Visitor()
  const { host = new URL(url).host } = options
  const headers = { 'x-forwarded-for': address, 'x-forwarded-host': host }
  const page = await visitor.open(`${url}/admin/sign-in`, undefined, { headers })
  const _csrf = csrfTokenOf(page)
  const form = new URLSearchParams({ _csrf, email, password, next: '' })
  const init = { method: 'POST', body: form, headers }
  const answer = await visitor.open(`${url}/admin/sign-in`, `${url}/admin`, init)
  return { status: answer.status, body: answer.body, headers: answer.headers, visitor }
}

t.test(
  'an IP address is throttled after ten failures; others are not, and the limit expires',
  async (t) => {
    const broker = await buildBroker(t, { env })
    await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')
    for (let count = 0; count < 10; count++) {
      const email = count % 2 === 0 ? 'ada@example.com' : `guess${count}@example.com`
      t.equal((await attempt(broker, { email })).status, 401)
    }
    const throttled = await attempt(broker, { password: PASSWORD })
    t.match(throttled, { status: 429, body: 'Try again in 15 minutes' })
    t.ok(Number(throttled.headers.get('retry-after')) > 800)
    t.equal((await attempt(broker, { password: PASSWORD, address: '192.0.2.2' })).status, 303)
    broker.clock.advance(14 * MINUTE_MS + 1000)
    t.match(await attempt(broker), { status: 429, body: 'in 1 minute' })
    broker.clock.advance(MINUTE_MS)
    t.equal((await attempt(broker, { password: PASSWORD })).status, 303)
  },
)

t.test('guesses by a stranger do not lock the owner out of a known browser', async (t) => {
  const broker = await buildBroker(t, { env })
  const owner = await signIn(broker, { email: 'ada@example.com' })
  for (let count = 0; count < 100; count++) {
    // Counts attempts directly, without the cost of a hundred hashes.
    await countAttempt(broker, `2001:db8:${count}::1`)
  }
  const stranger = await attempt(broker, { address: '2001:db8:ffff::1' })
  t.equal(stranger.status, 429)
  const unknown = await attempt(broker, { address: '2001:db8:fffe::1', email: 'x@example.com' })
  t.equal(unknown.status, 401, 'another account')

  await owner.press(await owner.open(`${broker.url}/admin`), 'Sign out')
  t.equal((await attempt(broker, { visitor: owner })).status, 401, 'the owner’s own browser')
  t.equal((await attempt(broker, { visitor: owner, password: PASSWORD })).status, 303)
  const bobs = await attempt(broker, { visitor: owner, email: 'bob@example.com' })
  t.equal(bobs.status, 401)
})

t.test('a flood of strangers does not lock a known browser out, nor a session', async (t) => {
  /** A known browser has ten attempts, if they fail. */
  const [STRANGERS, SIGN_INS] = [80, 12]
  const broker = await buildBroker(t, { env })
  const email = 'ada@example.com'
  await broker.services.admins.add(email, new Secret(PASSWORD), 'test')
  const flooded = await serve(t, broker.env)
  const { host } = new URL(broker.url)
  const owner = new Visitor()
  const signInAsOwner = async () => {
    owner.cookies(flooded.url).delete('session')
    return (await attempt(flooded, { email, password: PASSWORD, visitor: owner, host })).status
  }
  t.equal(await signInAsOwner(), 303)

  let isOver = false
  let slowDown = () => undefined as void
  const isSlowed = new Promise<void>((resolve) => (slowDown = resolve))
  const flood = async (from: number) => {
    const visitor = new Visitor()
    for (let count = 0; !isOver; count++) {
      // No account's and no address's budget is ever used up, so the checks stay full.
      const address = `2001:db8:${from}:${count % 10_000}::1`
      const account = `${from}-${count}@example.com`
      const { status } = await attempt(flooded, { email: account, address, visitor, host })
      if (status === 429) slowDown()
    }
  }
  const strangers = Array.from({ length: STRANGERS }, (_, from) => flood(from))
  await isSlowed
  const statuses: number[] = []
  while (statuses.length < SIGN_INS) statuses.push(await signInAsOwner())
  isOver = true
  await Promise.all(strangers)
  t.strictSame(
    statuses,
    Array.from({ length: SIGN_INS }, () => 303),
  )
})

t.test('a known browser has a limit too', async (t) => {
  const broker = await buildBroker(t, { env })
  const owner = await signIn(broker, { email: 'ada@example.com' })
  await owner.press(await owner.open(`${broker.url}/admin`), 'Sign out')
  for (let count = 0; count < 10; count++) {
    t.equal((await attempt(broker, { visitor: owner, address: `192.0.2.${count}` })).status, 401)
  }
  t.equal((await attempt(broker, { visitor: owner, password: PASSWORD })).status, 429)
})

t.test(
  'failures are recorded as events, without the e-mail address of an unknown account',
  async (t) => {
    const broker = await buildBroker(t, { env })
    await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')
    await attempt(broker)
    await attempt(broker, { email: 'my password, by mistake' })
    for (let count = 0; count < 8; count++) await attempt(broker)
    const { rows: events } = await broker.services.store.listEvents({ limit: 50 })
    const failed = events.filter(({ action }) => action === 'admin.sign_in_failed')
    t.equal(failed.length, 10)
    t.match(failed.at(-1), { details: 'ada@example.com', address: '192.0.2.1', actor: 'system' })
    t.equal(failed.at(-2)?.details, 'no such account')
    t.notMatch(JSON.stringify(events), 'by mistake')
    t.equal(events.filter(({ action }) => action === 'admin.sign_in_slowed').length, 1)
  },
)

t.test('an unknown account takes as long as a known one', async (t) => {
  let derived: object[] = []
  const passwordHashing = {
    ...cheapHashing,
    derive(parameters: Argon2Parameters) {
      const { message: _message, nonce, ...cost } = parameters
      derived.push({ ...cost, nonceLength: (nonce as Buffer).length })
      return cheapHashing.derive(parameters)
    },
  }
  const broker = await buildBroker(t, { env, runtime: { passwordHashing } })
  await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')
  const costs = async (email: string) => {
    derived = []
    t.equal((await attempt(broker, { email })).status, 401)
    return derived
  }
  const known = await costs('ada@example.com')
  t.equal(known.length, 1)
  t.strictSame(await costs('nobody@example.com'), known)
})

t.test('attempts are counted across processes', async (t) => {
  const broker = await buildBroker(t, { env })
  await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')
  const other = await serve(t, broker.env)
  const { host } = new URL(broker.url)
  for (let count = 0; count < 10; count++) {
    const { status } = await attempt(count % 2 === 0 ? broker : other, { host })
    t.equal(status, 401)
  }
  t.equal((await attempt(broker)).status, 429)
  t.equal((await attempt(other, { host })).status, 429)
})

t.test('concurrent attempts are counted before the password is checked', async (t) => {
  const broker = await buildBroker(t, { env })
  const answers = await Promise.all(Array.from({ length: 24 }, () => attempt(broker)))
  const count = (status: number) => answers.filter((answer) => answer.status === status).length
  t.strictSame([count(401), count(429)], [10, 14])
})

t.test('codes of the second factor are limited to five attempts', async (t) => {
  const broker = await buildBroker(t, { env })
  const { loginThrottle } = broker.services
  const take = (own: string | null, address: string) =>
    loginThrottle.take({ kind: 'code', account: 'adm', browser: { ...browser, address }, own })
  for (let count = 0; count < 5; count++) {
    t.notOk('refusedUntil' in (await take(null, `192.0.2.${count}`)))
  }
  t.ok('refusedUntil' in (await take(null, '192.0.2.9')), 'of the account')
  for (let count = 0; count < 5; count++) t.notOk('refusedUntil' in (await take('device x', '::1')))
  t.ok('refusedUntil' in (await take('device x', '::1')), 'of the owner’s browser')
})

const browser = {
  userAgent: undefined,
  device: undefined,
  isAddressShared: false,
}

const countAttempt = ({ services }: TestBroker, address: string) =>
  services.loginThrottle.take({
    kind: 'password',
    account: 'ada@example.com',
    browser: { ...browser, address },
    own: null,
  })
