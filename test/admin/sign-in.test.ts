import type { Argon2Parameters } from 'node:crypto'
import t from 'tap'
import { UNKNOWN_ACCOUNT_EVENTS } from '../../server/admin/login-throttle.ts'
import { createSessions } from '../../server/admin/sessions.ts'
import { createSignIn } from '../../server/admin/sign-in.ts'
import { Secret } from '../../server/secret.ts'
import { PASSWORD } from '../admin.ts'
import { addSecondFactor } from '../db/rows.ts'
import { buildBroker, cheapHashing } from '../helper.ts'

const browser = {
  address: '192.0.2.1',
  userAgent: undefined,
  device: undefined,
  isAddressShared: false,
}
const password = new Secret(PASSWORD)

t.test('an admin who is removed during sign-in is rejected', async (t) => {
  const { services } = await buildBroker(t)
  await services.admins.add('ada@example.com', password, 'test')
  const store = { ...services.store, addSession: async () => false }
  const sessions = createSessions({ ...services, store })
  const signIn = createSignIn({ ...services, store, sessions })
  const outcome = await signIn.withPassword('ada@example.com', password, browser)
  t.strictSame(outcome, { kind: 'refused' })
})

t.test('a password that is changed during sign-in is rejected', async (t) => {
  const { services } = await buildBroker(t)
  const { admins, store } = services
  const email = 'ada@example.com'
  const { id: adminId } = await admins.add(email, password, 'test')
  /** Signs in; `meanwhile` runs after the password check has succeeded. */
  const signInDuring = async (typed: Secret, meanwhile: () => Promise<unknown>) => {
    const addSession: typeof store.addSession = async (...session) => {
      await meanwhile()
      return store.addSession(...session)
    }
    const slow = { ...services, store: { ...store, addSession } }
    const signIn = createSignIn({ ...slow, sessions: createSessions(slow) })
    const outcome = await signIn.withPassword(email, typed, browser)
    const [event] = (await store.listEvents({ limit: 1 })).rows
    return [outcome.kind, event?.action, event?.address]
  }
  const refused = ['refused', 'admin.sign_in_failed', browser.address]
  const other = new Secret('another password')
  t.strictSame(
    await signInDuring(password, () => admins.setPassword(email, other, 'test')),
    refused,
  )
  const confirm = async () => {
    await addSecondFactor(store, adminId, { since: services.clock.now() })
  }
  t.strictSame(await signInDuring(other, confirm), refused, 'nor past a second factor')
  t.strictSame(await services.sessions.list(adminId), [])
})

t.test('a code for an ended session is rejected', async (t) => {
  const { services } = await buildBroker(t)
  await services.admins.add('ada@example.com', password, 'test')
  const admin = await services.store.findAdmin('ada@example.com')
  if (!admin) throw new Error('no admin')
  const begun = await services.sessions.begin(admin, browser, { halfway: true })
  const halfway = begun && (await services.sessions.find(begun.session))
  if (!halfway) throw new Error('no session')
  t.equal(halfway.session.userAgent, null)
  t.equal(await services.secondFactors.use(admin, '123456', '::1'), false, 'none is there')
  t.equal(await services.secondFactors.confirm(admin, '123456', '::1'), undefined)

  const secondFactors = { ...services.secondFactors, use: async () => true }
  const off = createSignIn({ ...services, secondFactors, config: { adminPasswords: false } })
  const outcome = await off.withCode(halfway, '123456', browser)
  t.strictSame(outcome, { kind: 'refused' }, 'passwords were switched off meanwhile')
  const signIn = createSignIn({ ...services, secondFactors })
  t.match(await signIn.withCode(halfway, '123456', browser), { kind: 'signed_in' })
  t.strictSame(await signIn.withCode(halfway, '123456', browser), { kind: 'refused' })
})

/** Hashing that stops at a gate, until it is opened. */
function gatedHashing() {
  let [running, most] = [0, 0]
  let open = () => undefined as void
  const gate = new Promise<void>((resolve) => (open = resolve))
  const passwordHashing = {
    ...cheapHashing,
    async derive(parameters: Argon2Parameters) {
      most = Math.max(most, ++running)
      await gate
      return cheapHashing.derive(parameters).finally(() => running--)
    },
  }
  return { passwordHashing, open, most: () => most }
}

t.test(
  'of many simultaneous sign-ins of strangers one is checked at a time, some wait, the rest are rejected',
  async (t) => {
    const [ATTEMPTS, REJECTED] = [60, 27]
    const { passwordHashing, open, most } = gatedHashing()
    const { services } = await buildBroker(t, { runtime: { passwordHashing } })
    let slowed = 0
    const tries = Array.from({ length: ATTEMPTS }, async (_, index) => {
      const from = { ...browser, address: `192.0.2.${index}` }
      try {
        return (await services.signIn.withPassword(`x${index}@example.com`, password, from)).kind
      } catch (error) {
        // The checks wait until the last attempt is rejected.
        if (++slowed === REJECTED) open()
        return (error as { code: string }).code
      }
    })
    const outcomes = await Promise.all(tries)
    t.equal(most(), 1, 'most of Node’s thread pool stays free')
    const count = (outcome: string) => outcomes.filter((one) => one === outcome).length
    t.strictSame([count('refused'), count('slow_down')], [ATTEMPTS - REJECTED, REJECTED])
  },
)

t.test('attempts that are rejected without a check use up no budget', async (t) => {
  const { passwordHashing, open } = gatedHashing()
  const { services } = await buildBroker(t, { runtime: { passwordHashing } })
  const admit = () =>
    services.passwords.admit('stranger', async (verify) => verify(password, undefined))
  const waiting = Array.from({ length: 33 }, admit)
  for (let count = 0; count < 20; count++) {
    const attempt = services.signIn.withPassword('ada@example.com', password, browser)
    await t.rejects(attempt, { code: 'slow_down' })
  }
  open()
  await Promise.all(waiting)
  const outcome = await services.signIn.withPassword('ada@example.com', password, browser)
  t.equal(outcome.kind, 'refused', 'not slowed')
})

t.test('guesses at accounts that do not exist fill no disk', async (t) => {
  const { services, clock } = await buildBroker(t)
  const { admins, signIn, store } = services
  await admins.add('ada@example.com', password, 'test')
  let count = 0
  /** From another address each time. Returns the events. */
  const guess = async (email = `${count}@example.com`) => {
    const address = `192.0.2.${count++ % 250}`
    await signIn.withPassword(email, new Secret('a wrong password'), { ...browser, address })
    return (await store.listEvents({ limit: 1000 })).rows
  }
  const { most, windowMs } = UNKNOWN_ACCOUNT_EVENTS
  while (count < 2 * most) await guess()
  const events = (await guess()).filter(({ details }) => details?.startsWith('no such account'))
  t.equal(events.length, most + 1)
  t.match(events[0], { action: 'admin.sign_in_slowed', details: 'in the log only' })
  const [known] = await guess('ada@example.com')
  t.match(known, { action: 'admin.sign_in_failed', details: 'ada@example.com' })
  clock.advance(windowMs)
  t.match((await guess())[0], { action: 'admin.sign_in_failed', details: 'no such account' })
})
