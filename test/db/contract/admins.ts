import type { Test } from 'tap'
import type { Admin, NewAdmin, SecondFactor, Session, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, event, NOW, seal } from '../rows.ts'
import { race } from './race.ts'

const HOUR = 3_600_000

export const newAdmin = (name: string, fields: Partial<NewAdmin> = {}): NewAdmin => ({
  id: name,
  email: `${name}@x.example`,
  passwordHash: '$argon2id$',
  role: 'admin',
  createdAt: NOW,
  ...fields,
})

/** What an admin has besides what they were added with. */
const nothingElse = {
  ...{ secondFactorSince: null, passkeyIds: [] },
  ...{ oidcIssuer: null, oidcSubject: null, oidcLabel: null },
}

/** What a sign-in of one of them is verified against. */
const asAdded = { passwordHash: '$argon2id$', ...nothingElse }

/** The columns of a session that no identity provider began. */
export const noOrigin = {
  ...{ authenticatedAt: null, oidcIssuer: null, oidcSubject: null, oidcSid: null },
}

const ISSUER = 'https://id.example'
const oidc = (subject: string) => ({ oidcIssuer: ISSUER, oidcSubject: subject, oidcLabel: subject })
const byPassword = { password: true, issuer: null }

const newSession = (idHash: string, fields: Partial<Session> = {}): Session => ({
  idHash,
  adminId: 'ada',
  createdAt: NOW,
  lastSeenAt: NOW,
  expiresAt: NOW + HOUR,
  address: '::1',
  userAgent: 'Firefox',
  complete: true,
  ...noOrigin,
  ...fields,
})

const newFactor = (mark: string, fields: Partial<SecondFactor> = {}): SecondFactor => ({
  secret: seal(mark),
  since: null,
  lastStep: null,
  recoveryCodes: [],
  ...fields,
})

const setPassword =
  (passwordHash: string) =>
  (admin: Admin): Admin => ({ ...admin, passwordHash })

/** Changes an admin as they are now; `none`: there is no such admin. */
async function change(
  store: Store,
  name: string,
  after: (admin: Admin) => Admin | null,
  options: Parameters<Store['updateAdmin']>[2],
) {
  const before = await store.findAdmin(`${name}@x.example`)
  return before ? store.updateAdmin(before, after(before), options) : 'none'
}

export function testAdmins(t: Test, open: OpenStore): void {
  const openWith = async (t: Test, ...names: string[]): Promise<Store> => {
    const store = await open(t)
    for (const name of names) await store.addAdmin(newAdmin(name), { events: [] })
    return store
  }
  const begin = (store: Store, session: Session, more: object = {}) =>
    store.addSession(session, { verified: asAdded, events: [], ...more })
  const isLive = async (store: Store, idHash: string, now = NOW) =>
    (await store.getSession({ idHash, now })) !== undefined

  t.test('the first admin needs a live setup link, and ends all of them', async (t) => {
    const store = await open(t)
    const first = (name: string, linkHash: string, now = NOW) =>
      store.addAdmin(newAdmin(name), {
        setupLink: { secretHash: linkHash, now },
        events: event(name),
      })
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
    await change(store, 'ada', () => null, { events: [] })
    t.equal(await first('bob', 'two'), false, 'the links were ended, not only closed')
    t.strictSame(await actions(store), ['ada'])
  })

  t.test('the last admin with the role `admin` keeps it', async (t) => {
    const store = await openWith(t, 'ada')
    await store.addAdmin(newAdmin('vic', { role: 'viewer' }), { events: [] })
    const mustRemain = byPassword
    const setRole = (name: string, role: 'admin' | 'viewer') =>
      change(store, name, (admin) => ({ ...admin, role }), {
        ...{ mustRemain, events: event(`${name} ${role}`) },
      })
    const remove = (name: string) =>
      change(store, name, () => null, { mustRemain, events: event(`${name} gone`) })
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

  t.test('the last admin who can sign in keeps the role `admin`', async (t) => {
    const store = await openWith(t, 'ada')
    await store.addAdmin(newAdmin('oda', { passwordHash: '', ...oidc('1') }), { events: [] })
    const demote = (name: string, mustRemain: { password: boolean; issuer: string | null }) =>
      change(store, name, (admin) => ({ ...admin, role: 'viewer' }), { mustRemain, events: [] })
    t.equal(await demote('ada', byPassword), 'last', 'the other one has no password')
    t.equal(await demote('ada', { password: true, issuer: 'https://other.example' }), 'last')
    t.equal(await demote('oda', { password: false, issuer: ISSUER }), 'last')
    t.equal(await demote('oda', { password: false, issuer: null }), 'last')
    t.equal(await demote('ada', { password: true, issuer: ISSUER }), 'done')
    t.equal(await demote('oda', { password: true, issuer: ISSUER }), 'last')
  })

  t.test('an account at the identity provider belongs to one admin', async (t) => {
    const store = await openWith(t, 'ada', 'bob')
    const link = (name: string, to: Partial<Admin>, more: object = {}) =>
      change(store, name, (admin) => ({ ...admin, ...to }), { events: event(name), ...more })
    const find = async (subject: string, issuer = ISSUER) =>
      (await store.findAdminByOidc({ issuer, subject }))?.id
    t.equal(await link('ada', oidc('1')), 'done')
    t.equal(await find('1'), 'ada')
    t.equal(await find('1', 'https://other.example'), undefined)
    t.equal(await link('bob', oidc('1')), 'taken')
    t.equal(await link('bob', { ...oidc('1'), oidcIssuer: 'https://other.example' }), 'done')
    t.equal(await store.addAdmin(newAdmin('eve', oidc('1')), { events: event('eve') }), false)

    const verified = { ...asAdded, ...oidc('1') }
    const origin = { oidcIssuer: ISSUER, oidcSubject: '1' }
    for (const id of ['kept', 'ended', 'local'])
      await begin(store, newSession(id, id === 'local' ? {} : origin), { verified })
    t.equal(await link('ada', { oidcLabel: 'Ada' }), 'done')
    t.equal(await isLive(store, 'ended'), true, 'a label ends nothing')
    t.equal(await link('ada', nothingElse, { keepSession: 'kept' }), 'done')
    const live = await Promise.all(['kept', 'ended', 'local'].map((id) => isLive(store, id)))
    t.strictSame(live, [true, false, true])
    t.equal(await find('1'), undefined)
    t.equal(await begin(store, newSession('late'), { verified }), false, 'no longer linked')
    t.strictSame(await actions(store), ['ada', 'bob', 'ada', 'ada'])
  })

  t.test('the identity provider ends the sessions that it began', async (t) => {
    const store = await openWith(t, 'ada')
    const add = (id: string, oidcSubject: string, oidcSid: string | null, oidcIssuer = ISSUER) =>
      begin(store, newSession(id, { oidcIssuer, oidcSubject, oidcSid }))
    const setUp = async () => {
      await add('a', '1', 's1')
      await add('b', '1', 's2')
      await add('c', '2', 's3')
      await add('d', '1', 's1', 'https://other.example')
    }
    const live = async () => {
      const ids = (await store.listSessions({ adminId: 'ada', now: NOW })).map((s) => s.idHash)
      for (const only of ids) await store.endSessions({ adminId: 'ada', only, events: [] })
      return ids.sort().join('')
    }
    const end = (which: Parameters<Store['endOidcSessions']>[0]) =>
      store.endOidcSessions(which, { at: NOW, actor: 'system', action: 'out' })
    await setUp()
    t.equal(await end({ issuer: ISSUER, subject: '1', sid: null }), 2)
    t.equal(await live(), 'cd')
    await setUp()
    t.equal(await end({ issuer: ISSUER, subject: null, sid: 's3' }), 1)
    t.equal(await live(), 'abd')
    await setUp()
    t.equal(await end({ issuer: ISSUER, subject: '2', sid: 's1' }), 0)
    t.equal(await end({ issuer: ISSUER, subject: '1', sid: 's1' }), 1)
    t.equal(await live(), 'bcd')
    t.strictSame(await actions(store), ['out', 'out', 'out'])
  })

  t.test('a session is found with its admin until it expires', async (t) => {
    const store = await openWith(t, 'ada')
    const session = newSession('s')
    t.equal(await begin(store, session, { events: event('in') }), true)
    t.equal(await begin(store, newSession('x', { adminId: 'none' }), { events: event('x') }), false)
    const admin = { ...newAdmin('ada'), ...nothingElse }
    t.strictSame(await store.getSession({ idHash: 's', now: NOW }), { session, admin })
    t.equal(await isLive(store, 's', NOW + HOUR), false)
    t.equal(await isLive(store, 'none'), false)
    const seen = { lastSeenAt: NOW + 5, expiresAt: NOW + HOUR + 5 }
    await store.touchSession({ idHash: 's', ...seen })
    t.match(await store.getSession({ idHash: 's', now: NOW + HOUR }), { session: seen })
    t.strictSame(await actions(store), ['in'])
  })

  t.test('a session replaces the incomplete one, once', async (t) => {
    const store = await openWith(t, 'ada')
    await begin(store, newSession('half', { complete: false }))
    t.strictSame(await store.listSessions({ adminId: 'ada', now: NOW }), [])
    t.equal(await begin(store, newSession('whole'), { replaces: 'half' }), true)
    t.equal(await isLive(store, 'half'), false)
    t.equal(await begin(store, newSession('again'), { replaces: 'half' }), false)
    t.equal(await isLive(store, 'again'), false)
  })

  t.test(
    'a session begins only if password and second factor are still those verified',
    async (t) => {
      const store = await openWith(t, 'ada')
      const verified = { ...asAdded, passwordHash: 'new' }
      await change(store, 'ada', setPassword('new'), { events: [] })
      await begin(store, newSession('half', { complete: false }), { verified })
      const device = { secretHash: 'laptop', expiresAt: NOW + HOUR }
      const late = { replaces: 'half', device, events: event('late') }
      t.equal(await begin(store, newSession('late'), late), false, 'the password is another')
      await store.updateSecondFactor('ada', null, newFactor('x', { since: NOW, lastStep: 7 }), [])
      const alone = { ...late, verified }
      t.equal(await begin(store, newSession('late'), alone), false, 'a second factor was added')
      t.strictSame([await isLive(store, 'late'), await isLive(store, 'half')], [false, true])
      t.equal(await store.isDevice({ secretHash: 'laptop', adminId: 'ada', now: NOW }), false)
      t.strictSame(await actions(store), [])
      const now = { ...late, verified: { ...verified, secondFactorSince: NOW } }
      t.equal(await begin(store, newSession('in time'), now), true)
    },
  )

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
      store.endSessions({ only: idHash, adminId, events: event(`end ${idHash}`) })
    t.equal(await end('of bob'), 0)
    t.equal(await end('old'), 1)
    t.equal(await end('old'), 0)
    const others = { adminId: 'ada', except: 'new', events: event('others') }
    t.equal(await store.endSessions(others), 1)
    t.equal(await store.endSessions(others), 0)
    t.equal(await isLive(store, 'of bob'), true)
    t.strictSame(await actions(store), ['end old', 'others'])
  })

  t.test('a new password ends other sessions and forgets all devices of the admin', async (t) => {
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
    const events = event('late')
    const set = (hash: string, options: { keepSession?: string } = {}, events = event('set')) =>
      change(store, 'ada', setPassword(hash), { ...options, events })
    t.equal(await set('new', { keepSession: 'a' }, []), 'done')
    t.strictSame([await isLive(store, 'a'), await isLive(store, 'b')], [true, false])
    t.equal(await isDevice('laptop'), false, 'also the one of the session that is kept')
    t.equal(await set('late', { keepSession: 'b' }, events), 'changed', 'that session has ended')
    t.equal(await set('late', { keepSession: 'of bob' }, events), 'changed')
    t.equal((await store.findAdmin('ada@x.example'))?.passwordHash, 'new')
    t.strictSame(await actions(store), [])
    t.equal(await set('newer', {}, []), 'done')
    t.equal(await isLive(store, 'a'), false)
    t.strictSame([await isLive(store, 'of bob'), await isDevice('other', 'bob')], [true, true])
    const verified = { ...asAdded, passwordHash: 'newer' }
    await begin(store, newSession('c'), { verified, ...device('other') })
    t.equal(await isDevice('other'), true, 'a browser is the last one’s who signed in with it')
    t.equal(await isDevice('other', 'bob'), false)
  })

  t.test('an attempt counts against all its budgets, or none', async (t) => {
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

  t.test('an attempt that did not fail clears earlier ones of other budgets', async (t) => {
    const store = await open(t)
    const take = (key: string) =>
      store.takeAttempt({ budgets: [{ key, most: 3, until: NOW + HOUR }], now: NOW })
    for (const key of ['a', 'a', 'a', 'b', 'b', 'b']) await take(key)
    await store.returnAttempt(['b'], ['a', 'none'])
    t.strictSame(await take('a'), { refusedUntil: null, wasLast: false })
    t.strictSame(await take('b'), { refusedUntil: null, wasLast: true })
  })

  t.test('an admin is changed only as they were read: no change undoes another', async (t) => {
    const store = await openWith(t, 'ada', 'bob')
    const read = await store.findAdmin('ada@x.example')
    if (!read) throw new Error('no admin')
    const set = async (passwordHash: string) => {
      const changed = { ...read, passwordHash }
      return (await store.updateAdmin(read, changed, { events: event(passwordHash) })) === 'done'
    }
    const [won] = await race(t, ['first', 'second'], set)
    t.equal(await store.updateAdmin(read, null, { events: event('removed') }), 'changed')
    t.equal((await store.findAdmin('ada@x.example'))?.passwordHash, won)
    t.strictSame(await actions(store), [won])
  })

  t.test('a second factor is added, replaced and removed as it was read', async (t) => {
    const store = await openWith(t, 'ada')
    const put = (before: SecondFactor | null, after: SecondFactor | null, action = '') =>
      store.updateSecondFactor('ada', before, after, action === '' ? [] : event(action))
    const get = () => store.getSecondFactor('ada')
    const since = async () => (await store.findAdmin('ada@x.example'))?.secondFactorSince
    const [first, second] = [newFactor('first'), newFactor('second')]
    t.equal(await get(), undefined)
    t.equal(await put(first, second), false, 'there is none yet')
    t.equal(await store.updateSecondFactor('none', null, first, event('none')), false)
    t.equal(await put(null, first), true)
    t.equal(await put(null, second), false, 'there is one')
    t.equal(await put(first, second), true)
    t.match(await get(), { secret: seal('second'), since: null })
    t.equal(await since(), null, 'it is only proposed')
    const confirmed = { ...second, since: NOW, lastStep: 7, recoveryCodes: ['r1', 'r2'] }
    t.equal(await put(first, { ...confirmed, secret: first.secret }), false, 'another was proposed')
    await race(t, ['confirmed', 'confirmed'], (action) => put(second, confirmed, action))
    t.strictSame(await get(), confirmed)
    t.equal(await since(), NOW)
    const used = { ...confirmed, lastStep: 8 }
    await race(t, [used, used], (after) => put(confirmed, after))
    const recovered = { ...used, recoveryCodes: ['r2'] }
    t.equal(await put(confirmed, { ...confirmed, recoveryCodes: ['r2'] }, 'stale'), false)
    t.equal(await put(used, recovered, 'r1'), true)
    t.strictSame(await get(), recovered)
    t.equal(await put(used, null, 'dropped'), false)
    t.equal(await put(recovered, null, 'dropped'), true)
    t.equal(await put(recovered, null, 'again'), false)
    t.equal(await get(), undefined)
    t.equal(await since(), null)
    t.strictSame(await actions(store), ['confirmed', 'r1', 'dropped'])
  })

  t.test('an e-mail address belongs to one admin', async (t) => {
    const store = await open(t)
    const [ada, bob] = [newAdmin('ada'), newAdmin('bob')]
    t.equal(await store.addAdmin(bob, { events: event('bob') }), true)
    t.equal(await store.addAdmin(ada, { events: event('ada') }), true)
    const twin = { ...ada, id: 'another' }
    t.equal(await store.addAdmin(twin, { events: event('twin') }), false)
    const without = nothingElse
    t.strictSame(await store.listAdmins(), [
      { ...ada, ...without },
      { ...bob, ...without },
    ])

    const password = { events: event('password') }
    t.equal(await change(store, 'bob', setPassword('new'), password), 'done')
    t.equal(await change(store, 'nobody', setPassword('new'), password), 'none')
    const remove = (action: string, name: string, keepsOne = false) =>
      change(store, name, () => null, {
        ...(keepsOne && { mustRemain: byPassword }),
        events: event(action),
      })
    t.equal(await remove('removed', 'ada'), 'done')
    t.equal(await remove('again', 'ada'), 'none')
    t.equal(await remove('last', 'bob', true), 'last')
    t.strictSame(await store.listAdmins(), [{ ...bob, ...without, passwordHash: 'new' }])
    t.strictSame(await actions(store), ['bob', 'ada', 'password', 'removed'])
  })
}
