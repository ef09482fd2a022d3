import type { Test } from 'tap'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newGrant, newTokens, NOW, purge } from '../rows.ts'

export function testDataOwnership(t: Test, open: OpenStore): void {
  t.test('a connection is identified, unless another one holds the account', async (t) => {
    const store = await open(t)
    await connect(store, 'a', { accountId: null })
    await connect(store, 'b')
    const identify = (id: string, accountId: string | null, username = 'ada') =>
      store.identifyConnection({ id, accountId, username })
    t.equal(await identify('a', 'account of b'), false)
    t.equal(await identify('another', 'account'), false)
    t.match(await store.getConnection('a'), { accountId: null, username: 'user of a' })
    t.equal(await identify('a', null), true)
    t.equal(await identify('a', 'account'), true)
    t.equal(await identify('a', 'account', 'Ada'), true, 'its own is no other’s')
    t.match(await store.getConnection('a'), { accountId: 'account', username: 'Ada' })
    await store.revokeConnection({ id: 'b', now: NOW, events: [] })
    t.equal(await identify('b', 'new account'), false, 'it is revoked')
    t.equal(await identify('a', 'account of b'), true, 'a revoked one holds none')
  })

  t.test('a revoked connection is removed once its erasure is complete', async (t) => {
    const store = await open(t)
    await connect(store)
    t.equal(await store.removeConnection('con'), false)
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.removeConnection('con'), false, 'its erasure is pending')
    await purge(store, NOW)
    t.equal(await store.removeConnection('con'), true)
    t.equal(await store.getConnection('con'), undefined)
  })

  t.test('a grant is added once, to a connection that isn’t revoked', async (t) => {
    const store = await open(t)
    await connect(store)
    await connect(store, 'gone')
    await store.revokeConnection({ id: 'gone', now: NOW, events: [] })
    const add = (id: string, connectionId: string) =>
      store.addGrant(newGrant(id, { connectionId }), {
        source: null,
        now: NOW,
        events: event(`${id} of ${connectionId}`),
      })
    t.equal(await add('grant', 'con'), true)
    t.equal(await add('grant', 'con'), false)
    t.equal(await add('other', 'gone'), false)
    t.equal(await add('other', 'another'), false)
    t.strictSame(await store.getGrant('grant'), newGrant('grant'))
    t.equal(await store.getGrant('other'), undefined)
    t.strictSame(await actions(store), ['grant of con'])
  })

  t.test(
    'connections are marked for reconnect a batch at a time, with their tokens or not',
    async (t) => {
      const store = await open(t)
      for (const id of ['a', 'b', 'c', 'd']) await connect(store, id)
      await store.revokeConnection({ id: 'b', now: NOW, events: [] })
      const markForReconnect = (after: string | null, toOtherApi: boolean) =>
        store.markConnectionsForReconnect({ after, limit: 2, toOtherApi, reason: 'moved' })
      t.equal(await markForReconnect(null, false), 'c')
      t.equal(await markForReconnect('c', true), 'd')
      t.equal(await markForReconnect('d', true), null)
      const moved = { status: 'needs_reconnect', lastError: 'moved' }
      t.match(await store.getConnection('a'), {
        ...moved,
        ...newTokens('a'),
        accountId: 'account of a',
        generation: 1,
      })
      t.match(await store.getConnection('b'), { status: 'revoked', lastError: null })
      t.match(await store.getConnection('d'), {
        ...moved,
        accountId: null,
        refreshToken: null,
        accessToken: null,
        accessTokenExpiresAt: null,
        generation: 2,
      })
    },
  )
}
