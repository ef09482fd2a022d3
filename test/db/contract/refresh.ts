import type { Test } from 'tap'
import type { Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newTokens, NOW, seal } from '../rows.ts'
import { race } from './race.ts'

const LONGEST = 30_000
const lease = (owner: string, forMs = LONGEST, expectedGeneration = 1) => ({
  id: 'con',
  expectedGeneration,
  owner,
  forMs,
  maxLeaseMs: LONGEST,
  deadOwner: null,
})

/** Less by what a slow machine took to read it. */
const isAbout = (actual = NaN, expected: number): boolean =>
  actual <= expected && actual > expected - LONGEST / 2

/** Does the owner's lease of `con` end after about that time? */
async function remainsMs(store: Store, owner: string, expected: number): Promise<boolean> {
  const { leaseOwner, leaseRemainingMs } = (await store.getConnection('con')) ?? {}
  return leaseOwner === owner && isAbout(leaseRemainingMs ?? NaN, expected)
}

const refreshed = (mark: string, expectedGeneration = 1, owner = 'me') => ({
  id: 'con',
  expectedGeneration,
  owner,
  tokens: newTokens(mark),
  previousRefreshToken: seal(`before ${mark}`),
  failure: null,
  now: NOW + 7,
  events: event(mark),
})

const failed = {
  id: 'con',
  expectedGeneration: 1,
  owner: 'me',
  status: 'needs_reconnect',
  lastError: 'refused',
  retryAt: NOW + 60_000,
  staleReason: null,
  dropPrevious: false,
  isRejection: true,
} as const

export function testRefresh(t: Test, open: OpenStore): void {
  t.test('one owner at a time has the lease, until it ends', async (t) => {
    const store = await open(t)
    await connect(store)
    const take = (owner: string) => store.takeLease(lease(owner))
    const [won, second = '', third = ''] = await race(t, ['a', 'b', 'c'], take)
    t.equal(await remainsMs(store, won, LONGEST), true)
    t.equal(await store.takeLease(lease(won, 0)), true, 'one’s own')
    t.equal(await remainsMs(store, won, 0), true)
    t.equal(await store.takeLease(lease(second, 9 * LONGEST)), true, 'it has ended')
    t.equal(await remainsMs(store, second, 9 * LONGEST), true)
    t.equal(await store.takeLease(lease(third)), true, 'it ends too far ahead')
    t.match(await store.getConnection('con'), { leaseOwner: third })
  })

  t.test('a lease that was not released makes the next refresh doubtful', async (t) => {
    const store = await open(t)
    await connect(store)
    const staleReason = async () => (await store.getConnection('con'))?.staleReason
    await store.takeLease(lease('a'))
    await store.updateLease({ id: 'con', owner: 'a', forMs: null })
    await store.takeLease(lease('b'))
    await store.takeLease(lease('b', 0))
    t.equal(await staleReason(), null)
    t.equal(await store.takeLease(lease('c')), true)
    t.equal(await staleReason(), 'answer_lost')
    await store.saveTokens(refreshed('well'))
    t.equal(await staleReason(), null)
  })

  t.test('the lease of a process that died can be taken over', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('dead'))
    t.equal(await store.takeLease({ ...lease('b'), deadOwner: 'another' }), false)
    t.equal(await store.takeLease({ ...lease('b'), deadOwner: 'dead' }), true)
    t.match(await store.getConnection('con'), { leaseOwner: 'b', staleReason: 'answer_lost' })
  })

  t.test('unreleased leases, and failed refreshes that may be retried, are listed', async (t) => {
    const store = await open(t)
    for (const id of ['con', 'late', 'left', 'failed', 'waiting', 'well']) await connect(store, id)
    await store.takeLease({ ...lease('b'), id: 'late' })
    await store.takeLease({ ...lease('a', -LONGEST), id: 'left' })
    const [left, late, ...others] = await store.listLeases(9)
    t.match(left, { id: 'left', leaseOwner: 'a' })
    t.match(late, { id: 'late', leaseOwner: 'b' })
    t.ok(isAbout(left?.leaseRemainingMs, -LONGEST) && isAbout(late?.leaseRemainingMs, LONGEST))
    t.strictSame(others, [])
    t.match(await store.listLeases(1), [{ id: 'left' }])

    const fail = async (id: string, retryAt: number, times = 1) => {
      for (let count = 0; count < times; count++) {
        await store.takeLease({ ...lease('me'), id })
        await store.saveFailure({ ...failed, id, retryAt, events: [] })
      }
    }
    await fail('waiting', NOW + 9)
    await fail('failed', NOW + 1)
    await fail('con', NOW, 30)
    t.strictSame(await store.listFailed({ retryBefore: NOW, limit: 9 }), [])
    t.strictSame(await store.listFailed({ retryBefore: NOW + 9, limit: 9 }), ['failed', 'waiting'])
    t.strictSame(await store.listFailed({ retryBefore: NOW + 9, limit: 1 }), ['failed'])
    await store.revokeConnection({ id: 'failed', now: NOW, events: [] })
    t.strictSame(await store.listFailed({ retryBefore: NOW + 9, limit: 9 }), ['waiting'])
  })

  t.test(
    'a refresh token without an access token is stored, and counts as a failure',
    async (t) => {
      const store = await open(t)
      await connect(store)
      const failure = { lastError: 'no access token', retryAt: NOW + 5 }
      t.equal(await store.saveTokens({ ...refreshed('alone'), failure }), true)
      t.match(await store.getConnection('con'), { ...failure, failures: 1, status: 'active' })
      await store.saveTokens({ ...refreshed('again', 2), failure })
      t.match(await store.getConnection('con'), { failures: 2, generation: 3 })
    },
  )

  t.test('a lease is only for the generation that was read', async (t) => {
    const store = await open(t)
    await connect(store)
    t.equal(await store.takeLease(lease('a', LONGEST, 0)), false)
    t.equal(await store.takeLease({ ...lease('a'), id: 'another' }), false)
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.takeLease(lease('a', LONGEST, 2)), false)
  })

  t.test('only its owner extends or releases a lease', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('a'))
    const update = (owner: string, forMs: number | null) =>
      store.updateLease({ id: 'con', owner, forMs })
    t.equal(await update('b', 1), false)
    t.equal(await update('b', null), false)
    t.equal(await update('a', 3 * LONGEST), true)
    t.equal(await remainsMs(store, 'a', 3 * LONGEST), true)
    t.equal(await update('a', null), true)
    t.match(await store.getConnection('con'), { leaseOwner: null, leaseRemainingMs: null })
    t.equal(await update('a', LONGEST), false)
  })

  t.test('refreshed tokens are stored, and failures are reset', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('me'))
    await store.saveFailure({ ...failed, staleReason: 'answer_lost', events: [] })
    await store.takeLease(lease('me'))
    t.equal(await store.saveTokens(refreshed('first')), true)
    t.match(await store.getConnection('con'), {
      status: 'active',
      generation: 2,
      ...newTokens('first'),
      previousRefreshToken: seal('before first'),
      leaseOwner: null,
      leaseRemainingMs: null,
      failures: 0,
      lastError: null,
      retryAt: null,
      staleReason: null,
      refreshedAt: NOW + 7,
    })
    await store.saveTokens({ ...refreshed('second', 2), previousRefreshToken: null })
    t.equal((await store.getConnection('con'))?.previousRefreshToken, null)
    t.strictSame(await actions(store), ['first', 'second'])
  })

  t.test('tokens of another length replace the old ones', async (t) => {
    const store = await open(t)
    await connect(store)
    for (const [index, size] of [17_445, 357, 1189, 4389, 357].entries()) {
      const tokens = newTokens(`${size}`, size)
      t.equal(await store.saveTokens({ ...refreshed('t', index + 1), tokens }), true)
      t.strictSame((await store.getConnection('con'))?.accessToken, tokens.accessToken)
    }
  })

  t.test('tokens are not stored if another writer was first', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('other'))
    const [won] = await race(t, ['a', 'b'], (mark) => store.saveTokens(refreshed(mark)))
    t.match(await store.getConnection('con'), { ...newTokens(won), leaseOwner: null })
    const late = { id: 'con', owner: 'other', forMs: LONGEST }
    t.equal(await store.updateLease(late), false, 'what it was taken for is out of date')
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.saveTokens(refreshed('revoked', 3)), false)
    t.equal((await store.getConnection('con'))?.refreshToken, null)
    t.strictSame(await actions(store), [won])
  })

  t.test('a failure keeps the generation, so that a late good answer is stored', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('me'))
    t.equal(await store.saveFailure({ ...failed, events: event('dead') }), true)
    const { status, lastError, retryAt } = failed
    const expected = { status, lastError, retryAt, failures: 1, generation: 1, leaseOwner: null }
    t.match(await store.getConnection('con'), { ...expected, ...newTokens('con') })
    await store.takeLease(lease('other'))
    t.equal(await store.saveFailure({ ...failed, events: event('not its own') }), false)
    t.match(await store.getConnection('con'), { failures: 1, leaseOwner: 'other' })
    t.equal(await store.saveTokens(refreshed('late')), true)
    t.equal(await store.saveFailure({ ...failed, events: event('too late') }), false)
    t.strictSame(await actions(store), ['dead', 'late'])
  })

  t.test(
    'rejections are counted apart from other failures, and a refresh resets both',
    async (t) => {
      const store = await open(t)
      await connect(store)
      const counts = async () => {
        const { failures, rejections } = (await store.getConnection('con')) ?? {}
        return [failures, rejections]
      }
      for (const isRejection of [false, true, false, true]) {
        await store.takeLease(lease('me'))
        await store.saveFailure({ ...failed, isRejection, events: [] })
      }
      t.strictSame(await counts(), [4, 2])
      await store.saveTokens(refreshed('again'))
      t.strictSame(await counts(), [0, 0])
    },
  )

  t.test('the previous token is deleted once it was tried and rejected', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.saveTokens(refreshed('first'))
    const failure = { ...failed, expectedGeneration: 2, events: [] }
    await store.takeLease(lease('me', LONGEST, 2))
    await store.saveFailure(failure)
    t.ok((await store.getConnection('con'))?.previousRefreshToken)
    await store.takeLease(lease('me', LONGEST, 2))
    await store.saveFailure({ ...failure, dropPrevious: true })
    t.match(await store.getConnection('con'), { previousRefreshToken: null, failures: 2 })
    t.strictSame((await store.getConnection('con'))?.refreshToken, seal('refresh first'))
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.saveFailure({ ...failure, expectedGeneration: 3 }), false)
  })
}
