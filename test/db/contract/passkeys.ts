import type { Test } from 'tap'
import type { Passkey, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, event, NOW, newPasskey, seal } from '../rows.ts'
import { race } from './race.ts'
import { newAdmin, noOrigin } from './admins.ts'

const HOUR = 3_600_000

export function testPasskeys(t: Test, open: OpenStore): void {
  const openWith = async (t: Test, ...names: string[]): Promise<Store> => {
    const store = await open(t)
    for (const name of names) await store.addAdmin(newAdmin(name), { events: [] })
    return store
  }
  const find = (store: Store, name = 'ada') => store.findAdmin(`${name}@x.example`)
  const session = {
    ...{ adminId: 'ada', createdAt: NOW, lastSeenAt: NOW, expiresAt: NOW + HOUR },
    ...{ address: '::1', userAgent: null, complete: true, ...noOrigin },
  }

  t.test('a passkey is added, replaced and removed as it was read', async (t) => {
    const store = await openWith(t, 'ada', 'bob')
    const put = (before: Passkey | null, after: Passkey | null, action: string) =>
      store.updatePasskey(before, after, event(action))
    const [first, second] = [newPasskey('p2'), newPasskey('p1', { createdAt: NOW + 1 })]
    t.equal(await put(first, second, 'none'), false, 'there is none yet')
    t.equal(await put(null, newPasskey('p3', { adminId: 'none' }), 'no admin'), false)
    t.equal(await put(null, first, 'first'), true)
    t.equal(await put(null, { ...first, adminId: 'bob' }, 'taken'), false)
    t.equal(await put(null, second, 'second'), true)
    t.strictSame(await store.listPasskeys('ada'), [first, second])
    t.strictSame(await store.listPasskeys('bob'), [])
    t.strictSame((await find(store))?.passkeyIds, ['p1', 'p2'])
    t.strictSame((await find(store, 'bob'))?.passkeyIds, [])

    const uses = [7, 8].map((counter) => ({ ...first, counter, lastUsedAt: NOW + 9 }))
    const [used] = await race(t, uses, (after) => put(first, after, 'used'))
    t.strictSame(await store.findPasskey('p2'), { passkey: used, admin: await find(store) })
    t.equal(await put({ ...used, publicKey: seal('other') }, null, 'another key'), false)
    t.equal(await put(used, null, 'removed'), true)
    t.equal(await put(used, null, 'again'), false)
    t.equal(await store.findPasskey('p2'), undefined)
    t.strictSame(await actions(store), ['first', 'second', 'used', 'removed'])
  })

  t.test('passkeys go with their admin', async (t) => {
    const store = await openWith(t, 'ada', 'bob')
    await store.updatePasskey(null, newPasskey('p'), [])
    const admin = await find(store)
    if (!admin) throw new Error('no admin')
    t.equal(await store.updateAdmin(admin, null, { events: [] }), 'done')
    t.equal(await store.findPasskey('p'), undefined)
  })

  t.test('a session begins only with the passkeys that were verified', async (t) => {
    const store = await openWith(t, 'ada')
    const before = await find(store)
    await store.updatePasskey(null, newPasskey('p'), [])
    const after = await find(store)
    if (!before || !after) throw new Error('no admin')
    const begin = (idHash: string, verified: typeof before) =>
      store.addSession({ ...session, idHash }, { verified, events: [] })
    t.equal(await begin('early', before), false, 'the password alone is no longer enough')
    t.equal(await begin('in time', after), true)
    const found = await store.getSession({ idHash: 'in time', now: NOW })
    t.strictSame(found?.admin.passkeyIds, ['p'])
    await store.updatePasskey(newPasskey('p'), null, [])
    t.equal(await begin('late', after), false, 'the passkey was removed')
    t.strictSame(
      await store.updateAdmin(after, { ...after, role: 'viewer' }, { events: [] }),
      'changed',
    )
  })
}
