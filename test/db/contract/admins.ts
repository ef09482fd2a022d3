import type { Test } from 'tap'
import type { NewAdmin, Session, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, event, NOW, seal } from '../rows.ts'

const HOUR = 3_600_000

export const newAdmin = (name: string, fields: Partial<NewAdmin> = {}): NewAdmin => ({
  id: name,
  email: `${name}@x.example`,
  passwordHash: '$argon2id$',
  role: 'admin',
  createdAt: NOW,
  ...fields,
})

/** What signing in as one of them is checked against. */
const asAdded = { passwordHash: '$argon2id$', secondFactorSince: null }

const newSession = (idHash: string, fields: Partial<Session> = {}): Session => ({
  idHash,
  adminId: 'ada',
  createdAt: NOW,
  lastSeenAt: NOW,
  expiresAt: NOW + HOUR,
  address: '::1',
  userAgent: 'Firefox',
  complete: true,
  ...fields,
})

export function testAdmins(t: Test, open: OpenStore): void {
  const openWith = async (t: Test, ...names: string[]): Promise<Store> => {
    const store = await open(t)
    for (const name of names) await store.addAdmin(newAdmin(name), [])
    return store
  }
  const begin = (store: Store, session: Session, more: object = {}) =>
    store.addSession(session, { checked: asAdded, events: [], ...more })
  const isLive = async (store: Store, idHash: string, now = NOW) =>
    (await store.getSession({ idHash, now })) !== undefined

  t.test('the first admin takes a live setup link, and ends them all', async (t) => {
    const store = await open(t)
    const first = (name: string, linkHash: string, now = NOW) =>
      store.addFirstAdmin({ admin: newAdmin(name), linkHash, now, events: event(name) })
    t.equal(await store.addSetupLink({ secretHash: 'one', expiresAt: NOW + 1 }), true)
    t.equal(await store.addSetupLink({ secretHash: 'two', expiresAt: NOW + 1 }), true)
    t.equal(await store.hasSetupLink({ secretHash: 'one', now: NOW }), true)
    t.equal(await store.hasSetupLink({ secretHash: 'one', now: NOW + 1 }), false)
    t.equal(await store.hasSetupLink({ secretHash: 'none', now: NOW }), false)
    t.equal(await first('late', 'one', NOW + 1), false)
    t.equal(await first('stranger', 'none'), false)
    t.equal(await first('ada', 'one'), true)
    t.equal(await first('bob', 'two'), false)
    t.equal(await store.hasSetupLink({ secretHash: 'two', now: NOW }), false)
    t.equal(await store.addSetupLink({ secretHash: 'three', expiresAt: NOW + 1 }), false)
    await store.removeAdmin({ email: 'ada@x.example', keepOne: false }, [])
    t.equal(await first('bob', 'two'), false, 'the links were ended, not only closed')
    t.strictSame(await actions(store), ['ada'])
  })

  t.test('somebody who may change things is always left', async (t) => {
    const store = await openWith(t, 'ada')
    await store.addAdmin(newAdmin('vic', { role: 'viewer' }), [])
    const setRole = (name: string, role: 'admin' | 'viewer') =>
      store.setAdminRole({ email: `${name}@x.example`, role }, event(`${name} ${role}`))
    const remove = (name: string) =>
      store.removeAdmin({ email: `${name}@x.example`, keepOne: true }, event(`${name} gone`))
    t.equal(await setRole('ada', 'viewer'), 'last')
    t.equal(await remove('ada'), 'last')
    t.equal(await setRole('ada', 'admin'), 'done')
    t.equal(await setRole('none', 'admin'), 'none')
    t.equal(await setRole('vic', 'admin'), 'done')
    t.equal(await setRole('ada', 'viewer'), 'done')
    t.equal((await store.findAdmin('ada@x.example'))?.role, 'viewer')
    t.equal(await remove('vic'), 'last')
    t.equal(await remove('ada'), 'done')
    t.equal(await store.findAdmin('ada@x.example'), undefined)
    t.strictSame(await actions(store), ['ada admin', 'vic admin', 'ada viewer', 'ada gone'])
  })

  t.test('a session is found until its end, with whose it is', async (t) => {
    const store = await openWith(t, 'ada')
    const session = newSession('s')
    t.equal(await begin(store, session, { events: event('in') }), true)
    t.equal(await begin(store, newSession('x', { adminId: 'none' }), { events: event('x') }), false)
    const admin = { ...newAdmin('ada'), secondFactorSince: null }
    t.strictSame(await store.getSession({ idHash: 's', now: NOW }), { session, admin })
    t.equal(await isLive(store, 's', NOW + HOUR), false)
    t.equal(await isLive(store, 'none'), false)
    const seen = { lastSeenAt: NOW + 5, expiresAt: NOW + HOUR + 5 }
    await store.touchSession({ idHash: 's', ...seen })
    t.match(await store.getSession({ idHash: 's', now: NOW + HOUR }), { session: seen })
    t.strictSame(await actions(store), ['in'])
  })

  t.test('a session takes the place of the one that was halfway, once', async (t) => {
    const store = await openWith(t, 'ada')
    await begin(store, newSession('half', { complete: false }))
    t.strictSame(await store.listSessions({ adminId: 'ada', now: NOW }), [])
    t.equal(await begin(store, newSession('whole'), { replaces: 'half' }), true)
    t.equal(await isLive(store, 'half'), false)
    t.equal(await begin(store, newSession('again'), { replaces: 'half' }), false)
    t.equal(await isLive(store, 'again'), false)
  })

  t.test('a session begins only while what signing in was checked against holds', async (t) => {
    const store = await openWith(t, 'ada')
    const checked = { ...asAdded, passwordHash: 'new' }
    await store.setAdminPassword({ email: 'ada@x.example', passwordHash: 'new' }, [])
    await begin(store, newSession('half', { complete: false }), { checked })
    const device = { secretHash: 'laptop', expiresAt: NOW + HOUR }
    const late = { replaces: 'half', device, events: event('late') }
    t.equal(await begin(store, newSession('late'), late), false, 'the password is another')
    await store.proposeSecondFactor({ adminId: 'ada', secret: seal('x') })
    const factor = { adminId: 'ada', step: 7, recoveryCodes: [], now: NOW, events: [] }
    await store.confirmSecondFactor(factor)
    const alone = { ...late, checked }
    t.equal(await begin(store, newSession('late'), alone), false, 'a second factor was added')
    t.strictSame([await isLive(store, 'late'), await isLive(store, 'half')], [false, true])
    t.equal(await store.isDevice({ secretHash: 'laptop', adminId: 'ada', now: NOW }), false)
    t.strictSame(await actions(store), [])
    const now = { ...late, checked: { ...checked, secondFactorSince: NOW } }
    t.equal(await begin(store, newSession('in time'), now), true)
  })

  t.test('sessions are listed and ended by their owner', async (t) => {
    const store = await openWith(t, 'ada', 'bob')
    await begin(store, newSession('old', { lastSeenAt: NOW - 5 }))
    await begin(store, newSession('new'))
    await begin(store, newSession('ended', { expiresAt: NOW }))
    await begin(store, newSession('of bob', { adminId: 'bob' }))
    const list = await store.listSessions({ adminId: 'ada', now: NOW })
    t.strictSame(
      list.map(({ idHash }) => idHash),
      ['new', 'old'],
    )
    const end = (idHash: string, adminId = 'ada') =>
      store.endSession({ idHash, adminId, events: event(`end ${idHash}`) })
    t.equal(await end('of bob'), false)
    t.equal(await end('old'), true)
    t.equal(await end('old'), false)
    const others = { adminId: 'ada', keep: 'new', events: event('others') }
    t.equal(await store.endOtherSessions(others), 1)
    t.equal(await store.endOtherSessions(others), 0)
    t.equal(await isLive(store, 'of bob'), true)
    t.strictSame(await actions(store), ['end old', 'others'])
  })

  t.test('a new password ends sessions; set by others, it forgets devices too', async (t) => {
    const store = await openWith(t, 'ada', 'bob')
    const device = (secretHash: string) => ({ device: { secretHash, expiresAt: NOW + HOUR } })
    await begin(store, newSession('a', {}), device('laptop'))
    await begin(store, newSession('b'))
    await begin(store, newSession('of bob', { adminId: 'bob' }), device('other'))
    const isDevice = (secretHash: string, adminId = 'ada', now = NOW) =>
      store.isDevice({ secretHash, adminId, now })
    t.equal(await isDevice('laptop'), true)
    t.equal(await isDevice('laptop', 'bob'), false)
    t.equal(await isDevice('laptop', 'ada', NOW + HOUR), false)
    const given = { email: 'ada@x.example', passwordHash: 'new' }
    t.equal(await store.setAdminPassword({ ...given, keepSession: 'a' }, []), true)
    t.strictSame([await isLive(store, 'a'), await isLive(store, 'b')], [true, false])
    t.equal(await isDevice('laptop'), true)
    const late = { ...given, passwordHash: 'late', keepSession: 'b' }
    t.equal(await store.setAdminPassword(late, event('late')), false, 'that session has ended')
    t.equal(await store.setAdminPassword({ ...late, keepSession: 'of bob' }, event('late')), false)
    t.equal((await store.findAdmin(given.email))?.passwordHash, 'new')
    t.strictSame(await actions(store), [])
    t.equal(await store.setAdminPassword(given, []), true)
    t.equal(await isLive(store, 'a'), false)
    t.equal(await isDevice('laptop'), false)
    t.strictSame([await isLive(store, 'of bob'), await isDevice('other', 'bob')], [true, true])
    const checked = { ...asAdded, passwordHash: 'new' }
    await begin(store, newSession('c'), { checked, ...device('other') })
    t.equal(await isDevice('other'), true, 'a browser is the last one’s who signed in with it')
    t.equal(await isDevice('other', 'bob'), false)
  })

  t.test('attempts count against all their budgets, or none', async (t) => {
    const store = await open(t)
    const take = (now: number, ...most: [string, number][]) =>
      store.takeAttempt({
        budgets: most.map(([key, most]) => ({ key, most, until: now + 100 })),
        now,
      })
    t.strictSame(await take(0, ['a', 2], ['b', 9]), { refusedUntil: null, wasLast: false })
    t.strictSame(await take(10, ['a', 2]), { refusedUntil: null, wasLast: true })
    t.strictSame(await take(20, ['a', 2], ['b', 2]), { refusedUntil: 100, wasLast: false })
    t.strictSame(await take(20, ['b', 2]), { refusedUntil: null, wasLast: true })
    await store.returnAttempt(['a', 'none'])
    t.strictSame(await take(30, ['a', 2]), { refusedUntil: null, wasLast: true })
    t.strictSame(await take(99, ['a', 2]), { refusedUntil: 100, wasLast: false })
    t.strictSame(await take(100, ['a', 2]), { refusedUntil: null, wasLast: false })
  })

  t.test('a second factor is proposed, confirmed, used once a step, and dropped', async (t) => {
    const store = await openWith(t, 'ada')
    const [adminId, email] = ['ada', 'ada@x.example']
    const confirm = (step = 7) =>
      store.confirmSecondFactor({
        adminId,
        step,
        recoveryCodes: ['r1', 'r2'],
        now: NOW,
        events: event('confirmed'),
      })
    t.equal(await store.getSecondFactor(adminId), undefined)
    t.equal(await confirm(), false)
    t.equal(await store.proposeSecondFactor({ adminId: 'none', secret: seal('x') }), false)
    t.equal(await store.proposeSecondFactor({ adminId, secret: seal('first') }), true)
    t.equal(await store.proposeSecondFactor({ adminId, secret: seal('second') }), true)
    t.equal(await store.useSecondFactor({ adminId, step: 8 }), false, 'not confirmed yet')
    t.match(await store.getSecondFactor(adminId), { secret: seal('second'), since: null })
    t.equal(await confirm(), true)
    t.equal(await confirm(), false)
    t.equal(await store.proposeSecondFactor({ adminId, secret: seal('third') }), false)
    t.strictSame(await store.getSecondFactor(adminId), {
      secret: seal('second'),
      since: NOW,
      lastStep: 7,
      recoveryCodes: ['r1', 'r2'],
    })
    t.equal((await store.findAdmin(email))?.secondFactorSince, NOW)
    for (const [step, good] of [
      [7, false],
      [8, true],
      [8, false],
      [6, false],
    ] as const) {
      t.equal(await store.useSecondFactor({ adminId, step }), good, `step ${step}`)
    }
    const recover = (codeHash: string) =>
      store.useRecoveryCode({ adminId, codeHash, events: event(codeHash) })
    t.equal(await recover('r1'), true)
    t.equal(await recover('r1'), false)
    const renewed = { adminId, recoveryCodes: ['r3'], events: event('renewed') }
    t.equal(await store.setRecoveryCodes(renewed), true)
    t.equal(await recover('r2'), false)
    const drop = () => store.dropSecondFactor({ email, events: event('dropped') })
    t.equal(await drop(), true)
    t.equal(await drop(), false)
    t.equal(await store.setRecoveryCodes(renewed), false)
    t.equal(await recover('r3'), false)
    t.equal((await store.findAdmin(email))?.secondFactorSince, null)
    t.strictSame(await actions(store), ['confirmed', 'r1', 'renewed', 'dropped'])
  })
}
