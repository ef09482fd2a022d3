import type { Test } from 'tap'
import type { NewAdmin, SigningKey } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, event, NOW, seal } from '../rows.ts'

const newKey = (kid: string, fields: Partial<SigningKey> = {}): SigningKey => ({
  kid,
  publicJwk: `{"kid":"${kid}"}`,
  privateKey: seal(`key ${kid}`),
  status: 'active',
  createdAt: NOW,
  activatedAt: null,
  endedAt: null,
  tokensUntil: null,
  ...fields,
})

const newAdmin = (email: string): NewAdmin => ({
  id: `id of ${email}`,
  email,
  passwordHash: '$argon2id$',
  role: 'admin',
  createdAt: NOW,
})

export function testPeople(t: Test, open: OpenStore): void {
  t.test('one signing key is active; the one before it retires', async (t) => {
    const store = await open(t)
    t.strictSame(await store.listSigningKeys(), [])
    await store.addSigningKey(newKey('k1'), event('k1'))
    await store.addSigningKey(newKey('k2', { createdAt: NOW + 1 }), event('k2'))
    const old = newKey('old', { createdAt: NOW + 2, status: 'retired', endedAt: NOW })
    await store.addSigningKey(old, [])
    t.strictSame(await store.listSigningKeys(), [
      newKey('k1', { status: 'retired', endedAt: NOW + 1 }),
      newKey('k2', { createdAt: NOW + 1 }),
      old,
    ])
    t.strictSame(await actions(store), ['k1', 'k2'])
  })

  t.test('the next signing key signs after a rotation, which happens once', async (t) => {
    const store = await open(t)
    const rotate = (expectedActive: string | null, kid: string) =>
      store.rotateSigningKeys({
        expectedActive,
        following: newKey(kid, { createdAt: NOW + 5, status: 'next' }),
        now: NOW + 5,
        events: event(`to ${kid}`),
      })
    t.equal(await store.addSigningKey(newKey('k1'), []), true)
    t.equal(await rotate('k1', 'k3'), false, 'there is no next one')
    const next = newKey('k2', { createdAt: NOW + 1, status: 'next' })
    t.equal(await store.addSigningKey(next, event('next')), true)
    t.equal(await store.addSigningKey({ ...next, kid: 'other' }, event('second')), false)
    t.equal(await rotate('another', 'k3'), false)
    t.equal(await rotate('k1', 'k3'), true)
    t.equal(await rotate('k1', 'k4'), false, 'another process came first')
    t.strictSame(await store.listSigningKeys(), [
      newKey('k1', { status: 'retired', endedAt: NOW + 5 }),
      newKey('k2', { createdAt: NOW + 1, activatedAt: NOW + 5 }),
      newKey('k3', { createdAt: NOW + 5, status: 'next' }),
    ])
    const activated = { at: NOW + 6, actor: 'cli', action: 'activated' }
    await store.revokeSigningKey({ kid: 'k2', now: NOW + 6, events: [], activated })
    t.equal(await rotate(null, 'k4'), false, 'the next one signs at once')
    t.match(await store.listEvents({ limit: 1 }), [{ action: 'activated', details: 'k3' }])
    t.equal(await rotate('k3', 'k4'), false, 'and there is none to follow it yet')
  })

  t.test(
    'a signing key knows how long its tokens live, and goes only when it has ended',
    async (t) => {
      const store = await open(t)
      for (const [index, kid] of ['k1', 'k2', 'k3'].entries()) {
        await store.addSigningKey(newKey(kid, { createdAt: NOW + index }), [])
      }
      await store.noteTokensUntil({ kid: 'k1', until: NOW + 9 })
      await store.noteTokensUntil({ kid: 'k1', until: NOW + 8 })
      t.equal((await store.listSigningKeys())[0]?.tokensUntil, NOW + 9)
      const remove = (kid: string) => store.removeSigningKey({ kid, events: event(`no ${kid}`) })
      await store.revokeSigningKey({ kid: 'k2', now: NOW, events: [] })
      t.equal(await remove('k1'), true)
      t.equal(await remove('k1'), false)
      t.equal(await remove('k2'), false, 'its erasure is pending')
      t.equal(await remove('k3'), false, 'it signs')
      await store.purge(NOW)
      t.equal(await remove('k2'), true)
      t.strictSame(
        (await store.listSigningKeys()).map(({ kid }) => kid),
        ['k3'],
      )
      t.strictSame(await actions(store), ['no k1', 'no k2'])
    },
  )

  t.test('a revoked signing key keeps nothing of its private key', async (t) => {
    const store = await open(t)
    await store.addSigningKey(newKey('k1'), [])
    await store.addSigningKey(newKey('k2', { createdAt: NOW + 1 }), [])
    const revoke = (kid: string, action: string) =>
      store.revokeSigningKey({ kid, now: NOW + 9, events: event(action) })
    t.equal(await revoke('k1', 'k1'), true)
    t.equal(await revoke('k1', 'again'), false)
    t.equal(await revoke('another', 'none'), false)
    const [k1, k2] = await store.listSigningKeys()
    t.match(k1, { status: 'revoked', endedAt: NOW + 1, privateKey: Buffer.alloc(357) })
    t.equal(k2?.status, 'active')
    t.equal(await store.isErasurePending(), true)
    t.equal(await store.purge(NOW), true)
    t.equal(await store.isErasurePending(), false)
    await revoke('k2', 'k2')
    t.equal((await store.listSigningKeys())[1]?.endedAt, NOW + 9)
    t.strictSame(await actions(store), ['k1', 'k2'])
  })

  t.test('an admin has an e-mail address to himself', async (t) => {
    const store = await open(t)
    const [ada, bob] = [newAdmin('ada@x.example'), newAdmin('bob@x.example')]
    t.equal(await store.addAdmin(bob, event('bob')), true)
    t.equal(await store.addAdmin(ada, event('ada')), true)
    const twin = { ...ada, id: 'another' }
    t.equal(await store.addAdmin(twin, event('twin')), false)
    const without = { secondFactorSince: null }
    t.strictSame(await store.listAdmins(), [
      { ...ada, ...without },
      { ...bob, ...without },
    ])

    const { email } = bob
    t.equal(await store.setAdminPassword({ email, passwordHash: 'new' }, event('password')), true)
    const nobody = { email: 'nobody', passwordHash: 'new' }
    t.equal(await store.setAdminPassword(nobody, event('none')), false)
    const remove = (action: string, email: string, keepOne = false) =>
      store.removeAdmin({ email, keepOne }, event(action))
    t.equal(await remove('removed', ada.email), 'done')
    t.equal(await remove('again', ada.email), 'none')
    t.equal(await remove('last', bob.email, true), 'last')
    t.strictSame(await store.listAdmins(), [{ ...bob, ...without, passwordHash: 'new' }])
    t.strictSame(await actions(store), ['bob', 'ada', 'password', 'removed'])
  })

  t.test('events are listed newest first, a page at a time', async (t) => {
    const store = await open(t)
    await store.addEvents([])
    const full = { connectionId: 'c1', appId: 'a1', grantId: 'g', address: '::1', details: 'words' }
    await store.addEvents([...event('first', full), ...event('second', { connectionId: 'c2' })])
    await store.addEvents(event('third', { appId: 'a1' }))
    const all = await store.listEvents({ limit: 10 })
    t.strictSame(
      all.map(({ action }) => action),
      ['third', 'second', 'first'],
    )
    const [, second, first] = all
    t.strictSame(first, { id: first?.id, ...event('first', full)[0] })
    t.match(second, { appId: null, grantId: null, address: null, details: null })
    t.strictSame(await store.listEvents({ limit: 1, before: second?.id ?? 0 }), [first])
    t.strictSame(await store.listEvents({ limit: 9, connectionId: 'c2' }), [second])
    t.strictSame(await store.listEvents({ limit: 9, appId: 'a1', connectionId: 'c1' }), [first])
  })
}
