import type { Test } from 'tap'
import type { ConnectionFilter } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newCode, newGrant, newTokens, NOW, seal } from '../rows.ts'
import { race } from './race.ts'

export function testConnections(t: Test, open: OpenStore): void {
  t.test('a new connection is stored with its code and its event', async (t) => {
    const store = await open(t)
    t.equal(await connect(store, 'con', { code: newCode('code'), events: event('new') }), true)
    t.strictSame(await store.getConnection('con'), {
      id: 'con',
      accountId: 'account of con',
      username: 'user of con',
      status: 'active',
      generation: 1,
      ...newTokens('con'),
      previousRefreshToken: null,
      leaseOwner: null,
      leaseRemainingMs: null,
      failures: 0,
      rejections: 0,
      lastError: null,
      retryAt: null,
      staleReason: null,
      restoredFrom: null,
      importState: null,
      replacedBy: null,
      connectedAt: NOW,
      refreshedAt: null,
      lastUsedAt: null,
      revokedAt: null,
      erasedAt: null,
      personErasedAt: null,
    })
    t.equal((await store.findConnection('account of con'))?.id, 'con')
    t.ok(await store.getCode('code'))
    t.strictSame(await actions(store), ['new'])
    t.equal(await store.getConnection('another'), undefined)
    t.equal(await store.findConnection('another'), undefined)
  })

  t.test('what a later authorization does not bring stays', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease({
      ...{ id: 'con', expectedGeneration: 1, owner: 'me', forMs: 30_000 },
      ...{ maxLeaseMs: 30_000, deadOwner: null },
    })
    const read = async () => {
      const { leaseRemainingMs, ...rest } = (await store.getConnection('con')) ?? {}
      return { ...rest, isLeased: (leaseRemainingMs ?? 0) > 0 }
    }
    const before = await read()
    t.match(before, { leaseOwner: 'me', isLeased: true })
    const less = { expectedGeneration: 1, accountId: null, username: '', tokens: null }
    t.equal(await connect(store, 'con', { ...less, code: newCode('code') }), true)
    t.strictSame(await read(), before)
    t.ok(await store.getCode('code'))
    t.equal(await connect(store, 'con', { ...less, username: 'renamed' }), true)
    t.strictSame(await read(), { ...before, username: 'renamed' })
    t.equal(await connect(store, 'new', { ...less, expectedGeneration: null }), false)
    t.equal(await store.getConnection('new'), undefined)

    const tokens = newTokens('later')
    t.equal(await connect(store, 'con', { ...less, tokens }), true)
    const { accountId, username, generation } = (await store.getConnection('con')) ?? {}
    t.strictSame([accountId, username, generation], ['account of con', 'renamed', 2])
    const mark = { after: null, limit: 9, toOtherApi: false, reason: 'refused' }
    await store.markConnectionsForReconnect(mark)
    const marked = await store.getConnection('con')
    t.equal(await connect(store, 'con', { ...less, expectedGeneration: 2 }), false, 'not active')
    t.strictSame(await store.getConnection('con'), marked)
  })

  t.test('an imported connection is pending until a refresh has worked', async (t) => {
    const store = await open(t)
    const state = async (id: string) => {
      const { importState, replacedBy } = (await store.getConnection(id)) ?? {}
      return [importState, replacedBy]
    }
    for (const id of ['a', 'b', 'c']) await connect(store, id, { importState: 'pending' })
    t.strictSame(await state('a'), ['pending', null])
    const refreshed = { id: 'a', expectedGeneration: 1, tokens: newTokens('new'), now: NOW }
    await store.saveTokens({ ...refreshed, previousRefreshToken: null, failure: null, events: [] })
    t.strictSame(await state('a'), [null, null])
    const why = { importState: 'rejected' } as const
    t.equal(await store.revokeConnection({ id: 'b', now: NOW, why, events: [] }), true)
    t.strictSame(await state('b'), ['rejected', null])
    await store.revokeConnection({ id: 'a', now: NOW, why: { replacedBy: 'c' }, events: [] })
    t.strictSame(await state('a'), [null, 'c'])
    await store.revokeConnection({ id: 'c', now: NOW, events: [] })
    t.equal(await store.revokeConnection({ id: 'c', now: NOW, why, events: [] }), false)
    t.strictSame(await state('c'), [null, null])
    const revoked: ConnectionFilter = { search: null, statuses: ['revoked'], appId: null }
    const { rows } = await store.walkConnections(revoked, null)
    t.strictSame(
      rows.map(({ id }) => id),
      ['c'],
      'what an import ended is in no list',
    )
    t.equal((await store.countConnections()).revoked, 1)
    t.equal(await store.removeConnection('a'), false, 'its erasure is pending like any other')
  })

  t.test('an account has one connection that isn’t revoked', async (t) => {
    const store = await open(t)
    const accountId = 'account'
    const [won, lost = ''] = await race(t, ['a', 'b'], (id) =>
      connect(store, id, { accountId, code: newCode(id, { connectionId: id }), events: event(id) }),
    )
    t.equal(await store.getCode(lost), undefined)
    t.strictSame(await actions(store), [won])
    await store.revokeConnection({ id: won, now: NOW, events: [] })
    t.equal(await store.findConnection(accountId), undefined, 'a revoked one isn’t found')
    t.equal(await connect(store, 'c', { accountId }), true)
    t.equal((await store.findConnection(accountId))?.id, 'c')
  })

  t.test('the connections of an account are listed, revoked ones too', async (t) => {
    const store = await open(t)
    const accountId = 'account'
    for (const [index, id] of ['b', 'a', 'c'].entries()) {
      await connect(store, id, { accountId, now: NOW + index })
      if (id !== 'c') await store.revokeConnection({ id, now: NOW, events: [] })
    }
    await connect(store, 'other', { username: accountId })
    const list = async (id: string) =>
      (await store.listConnectionsOfAccount(id)).map(({ id }) => id)
    t.strictSame(await list(accountId), ['c', 'a', 'b'])
    t.strictSame(await list('another'), [])
    await store.revokeConnection({ id: 'c', now: NOW, erasePerson: true, events: [] })
    t.strictSame(await list(accountId), [], 'erased')
  })

  t.test('grants of connections without an account are read in batches', async (t) => {
    const store = await open(t)
    for (const id of ['none', 'gone']) await connect(store, id, { accountId: null })
    await connect(store, 'known')
    const grants = [
      newGrant('a', { connectionId: 'known', browserHash: 'h' }),
      newGrant('b', { connectionId: 'none', browserHash: 'h' }),
      newGrant('c', { connectionId: 'none', browserHash: null }),
      newGrant('d', { connectionId: 'none', browserHash: 'i' }),
      newGrant('e', { connectionId: 'gone', browserHash: 'h' }),
    ]
    for (const grant of grants) await store.addGrant(grant, { source: null, now: NOW, events: [] })
    await store.revokeGrants({ id: 'd', now: NOW, events: [] })
    await store.revokeConnection({ id: 'gone', now: NOW, events: [] })
    const found = []
    let after: string | null = null
    let calls = 0
    do {
      const page: Awaited<ReturnType<typeof store.listGrantsWithoutAccount>> =
        await store.listGrantsWithoutAccount({ after, limit: 2 })
      found.push(...page.rows.map(({ connectionId, browserHash }) => [connectionId, browserHash]))
      after = page.next
      calls++
    } while (after !== null)
    t.strictSame(found, [['none', 'h']])
    t.equal(calls, 3)
  })

  t.test('there can be many connections without an account, each id once', async (t) => {
    const store = await open(t)
    t.equal(await connect(store, 'a', { accountId: null }), true)
    t.equal(await connect(store, 'b', { accountId: null }), true)
    t.equal(await connect(store, 'b', { accountId: null, events: event('again') }), false)
    t.strictSame(await actions(store), [])
  })

  t.test('a new authorization makes a connection active again', async (t) => {
    const store = await open(t)
    await connect(store)
    const lease = { id: 'con', expectedGeneration: 1, owner: 'me' }
    const times = { forMs: 30_000, maxLeaseMs: 30_000, deadOwner: null }
    const tokens = newTokens('refreshed')
    const previousRefreshToken = seal('previous')
    await store.saveTokens({ ...lease, tokens, previousRefreshToken, now: NOW, events: [] })
    const moved = { ...lease, expectedGeneration: 2 }
    const failure = { status: 'needs_reconnect', lastError: 'refused', retryAt: NOW } as const
    const fallen = {
      ...failure,
      staleReason: 'answer_lost',
      dropPrevious: false,
      isRejection: true,
      events: event('fallen'),
    } as const
    await store.takeLease({ ...moved, ...times })
    await store.saveFailure({ ...moved, ...fallen })
    await store.takeLease({ ...moved, ...times })

    const renewal = { expectedGeneration: 2, username: 'renamed', tokens: newTokens('new', 1189) }
    t.equal(await connect(store, 'con', { ...renewal, now: NOW + 9, code: newCode('code') }), true)
    t.match(await store.getConnection('con'), {
      status: 'active',
      username: 'renamed',
      generation: 3,
      ...newTokens('new', 1189),
      previousRefreshToken: null,
      leaseOwner: null,
      leaseRemainingMs: null,
      failures: 0,
      lastError: null,
      retryAt: null,
      staleReason: null,
      connectedAt: NOW,
      refreshedAt: NOW + 9,
    })
    t.ok(await store.getCode('code'))
  })

  t.test(
    'a renewal fails if the connection changed, was revoked, or the account has another one',
    async (t) => {
      const store = await open(t)
      await connect(store, 'known')
      await connect(store, 'con', { accountId: null })
      const lost = { expectedGeneration: 1, accountId: 'account of known', events: event('lost') }
      t.equal(await connect(store, 'con', lost), false)
      t.equal(
        await connect(store, 'con', { ...lost, accountId: null, expectedGeneration: 0 }),
        false,
      )
      t.equal(await connect(store, 'none', { ...lost, accountId: null }), false)
      t.strictSame((await store.getConnection('con'))?.refreshToken, seal('refresh con'))

      t.equal(await connect(store, 'con', { expectedGeneration: 1, accountId: 'its own' }), true)
      t.equal(await connect(store, 'con', { expectedGeneration: 2, accountId: null }), true)
      t.equal((await store.findConnection('its own'))?.generation, 3, 'the account stays')

      await store.revokeConnection({ id: 'con', now: NOW, events: [] })
      t.equal(
        await connect(store, 'con', { ...lost, accountId: null, expectedGeneration: 4 }),
        false,
      )
      t.strictSame(await actions(store), [])
    },
  )
}
