import type { Test } from 'tap'
import type { OpenStore } from '../contract.ts'
import { actions, begin, connect, event, newCode, newGrant, NOW, purge } from '../rows.ts'

export function testRevoke(t: Test, open: OpenStore): void {
  t.test('grants are listed by connection', async (t) => {
    const store = await open(t)
    for (const id of ['con', 'con2']) await connect(store, id)
    await begin(store, newGrant('b'))
    await begin(store, newGrant('a', { appId: 'other' }))
    await begin(store, newGrant('c', { connectionId: 'con2' }))
    const ids = async (connectionId: string) =>
      (await store.listGrants(connectionId)).map(({ id }) => id).join('')
    t.equal(await ids('con'), 'ab')
    t.equal(await ids('con2'), 'c')
    t.equal(await ids('another'), '')
    t.equal(await store.getGrant('another'), undefined)
  })

  t.test('a grant is revoked once', async (t) => {
    const store = await open(t)
    await connect(store)
    await begin(store, newGrant('grant'))
    const revoke = (id: string, now: number) =>
      store.revokeGrants({ id, now, events: event(`${id} ${now - NOW}`) })
    t.equal(await revoke('grant', NOW + 1), 1)
    t.equal(await revoke('grant', NOW + 2), 0)
    t.equal(await revoke('another', NOW + 3), 0)
    t.equal((await store.getGrant('grant'))?.revokedAt, NOW + 1)
    t.strictSame(await actions(store), ['grant 1'])
  })

  t.test(
    'an app’s grants on one connection are revoked, and its unused codes deleted',
    async (t) => {
      const store = await open(t)
      for (const id of ['con', 'con2']) await connect(store, id)
      await begin(store, newGrant('a'))
      await begin(store, newGrant('b'))
      await begin(store, newGrant('other', { appId: 'other' }))
      await begin(store, newGrant('elsewhere', { connectionId: 'con2' }))
      const { generation } = (await store.getConnection('con')) ?? { generation: 0 }
      await connect(store, 'con', { expectedGeneration: generation, code: newCode('unused') })

      const own = { connectionId: 'con', appId: 'app', now: NOW + 1 }
      t.equal(await store.revokeGrants({ ...own, events: event('revoked') }), 2)
      t.equal((await store.getGrant('b'))?.revokedAt, NOW + 1)
      t.equal((await store.getGrant('other'))?.revokedAt, null)
      t.equal((await store.getGrant('elsewhere'))?.revokedAt, null)
      t.equal(await store.getCode('unused'), undefined)
      t.ok(await store.getCode('code of a'), 'a used code stays, so that a second use is noticed')
      t.equal(await store.revokeGrants({ ...own, events: event('again') }), 0)
      t.strictSame(await actions(store), ['revoked'])
    },
  )

  t.test(
    'a revoked connection keeps no tokens, codes or grants, and is never revived',
    async (t) => {
      const store = await open(t)
      await connect(store, 'con', { code: newCode('code') })
      await begin(store, newGrant('grant'))
      const owner = 'me'
      const times = { forMs: 30_000, maxLeaseMs: 30_000, deadOwner: null }
      await store.takeLease({ id: 'con', expectedGeneration: 2, owner, ...times })
      const revoke = (now: number, action: string) =>
        store.revokeConnection({ id: 'con', now, events: event(action) })
      t.equal(await revoke(NOW + 1, 'revoked'), true)
      t.equal(await revoke(NOW + 2, 'again'), false)
      t.equal(
        await store.revokeConnection({ id: 'another', now: NOW, events: event('none') }),
        false,
      )
      t.match(await store.getConnection('con'), {
        status: 'revoked',
        generation: 3,
        accountId: 'account of con',
        refreshToken: null,
        previousRefreshToken: null,
        accessToken: null,
        accessTokenExpiresAt: null,
        accessTokenFetchedAt: null,
        leaseOwner: null,
        leaseRemainingMs: null,
        revokedAt: NOW + 1,
        erasedAt: null,
      })
      t.equal((await store.getGrant('grant'))?.revokedAt, NOW + 1)
      t.equal(await store.getCode('code'), undefined)
      t.equal(await store.updateLease({ id: 'con', owner, forMs: 30_000 }), false)
      t.strictSame(await actions(store), ['revoked'])
    },
  )

  t.test('the person of a connection is erased once', async (t) => {
    const store = await open(t)
    await connect(store)
    const erase = (id: string, now: number, action: string) =>
      store.revokeConnection({ erasePerson: true, id, now, events: event(action) })
    t.equal(await erase('con', NOW + 1, 'erased'), true)
    t.equal(await erase('con', NOW + 2, 'again'), false)
    t.equal(await erase('another', NOW, 'none'), false)
    t.match(await store.getConnection('con'), { username: '', personErasedAt: NOW + 1 })
    t.strictSame(await actions(store), ['erased'])
  })

  t.test('an erasure is pending until it is complete', async (t) => {
    const store = await open(t)
    await connect(store)
    t.equal(await store.isErasurePending(), false)
    t.equal(await purge(store, NOW), true, 'with nothing to do')
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.isErasurePending(), true)
    t.equal(await purge(store, NOW + 3), true)
    t.equal(await store.isErasurePending(), false)
    t.equal((await store.getConnection('con'))?.erasedAt, NOW + 3)
    await purge(store, NOW + 4)
    await purge(store, NOW + 4, 'con')
    t.equal((await store.getConnection('con'))?.erasedAt, NOW + 3, 'once')
  })

  t.test('an erasure of one leaves others pending', async (t) => {
    const store = await open(t)
    for (const id of ['one', 'other', 'live']) await connect(store, id)
    for (const id of ['one', 'other']) await store.revokeConnection({ id, now: NOW, events: [] })
    t.equal(await purge(store, NOW + 1, 'one'), true)
    t.equal(await purge(store, NOW + 1, 'live'), true)
    const erasedAt = async (id: string) => (await store.getConnection(id))?.erasedAt
    t.strictSame(await Promise.all(['one', 'other', 'live'].map(erasedAt)), [NOW + 1, null, null])
    t.equal(await store.isErasurePending(), true)
  })

  t.test('many erasures are completed in batches', async (t) => {
    const store = await open(t)
    const ids = ['a', 'b', 'c', 'd', 'e']
    for (const id of ids) await connect(store, id)
    for (const id of ids) await store.revokeConnection({ id, now: NOW, events: [] })
    const erased = async () => {
      const rows = await Promise.all(ids.map((id) => store.getConnection(id)))
      return rows.filter((row) => row?.erasedAt === NOW + 1).length
    }
    const some = () => store.purge({ now: NOW + 1, limit: 2 })
    t.strictSame([await some(), await erased()], ['more', 2])
    t.strictSame([await some(), await erased()], ['more', 4])
    t.equal(await store.isErasurePending(), true)
    t.strictSame([await some(), await erased()], ['done', 5])
    t.equal(await store.isErasurePending(), false)
  })
}
