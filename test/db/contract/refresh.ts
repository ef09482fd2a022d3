import type { Test } from 'tap'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newTokens, NOW, seal } from '../rows.ts'

const LONGEST = 30_000
const lease = (owner: string, now = NOW, expectedGeneration = 1) => ({
  id: 'con',
  expectedGeneration,
  owner,
  now,
  until: now + LONGEST,
  longest: LONGEST,
})

const refreshed = (mark: string, expectedGeneration = 1, owner = 'me') => ({
  id: 'con',
  expectedGeneration,
  owner,
  tokens: newTokens(mark),
  previousRefreshToken: seal(`before ${mark}`),
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
  dropPrevious: false,
} as const

export function testRefresh(t: Test, open: OpenStore): void {
  t.test('one at a time has the lease, until it ends', async (t) => {
    const store = await open(t)
    await connect(store)
    const race = await Promise.all(['a', 'b', 'c'].map((owner) => store.takeLease(lease(owner))))
    t.strictSame(race, [true, false, false])
    t.equal(await store.takeLease(lease('b', NOW + LONGEST - 1)), false)
    t.equal(await store.takeLease(lease('b', NOW + LONGEST)), true, 'it has ended')
    t.match(await store.getConnection('con'), { leaseOwner: 'b', leaseUntil: NOW + 2 * LONGEST })
    t.equal(await store.takeLease(lease('c', NOW + LONGEST - 1)), true, 'it ends too far ahead')
    t.equal(await store.takeLease(lease('c', NOW + LONGEST - 1)), true, 'one’s own')
  })

  t.test('a lease is for what was read', async (t) => {
    const store = await open(t)
    await connect(store)
    t.equal(await store.takeLease(lease('a', NOW, 0)), false)
    t.equal(await store.takeLease({ ...lease('a'), id: 'another' }), false)
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.takeLease(lease('a', NOW, 2)), false)
  })

  t.test('only its owner lengthens or frees a lease', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('a'))
    t.equal(await store.extendLease({ id: 'con', owner: 'b', until: NOW + 1 }), false)
    await store.freeLease({ id: 'con', owner: 'b' })
    t.equal(await store.extendLease({ id: 'con', owner: 'a', until: NOW + 99 }), true)
    t.match(await store.getConnection('con'), { leaseOwner: 'a', leaseUntil: NOW + 99 })
    await store.freeLease({ id: 'con', owner: 'a' })
    t.match(await store.getConnection('con'), { leaseOwner: null, leaseUntil: null })
    t.equal(await store.extendLease({ id: 'con', owner: 'a', until: NOW + 99 }), false)
  })

  t.test('refreshed tokens are stored, and what was wrong is forgotten', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.saveFailure({ ...failed, events: [] })
    await store.takeLease(lease('me'))
    t.equal(await store.saveTokens(refreshed('first')), true)
    t.match(await store.getConnection('con'), {
      status: 'active',
      generation: 2,
      ...newTokens('first'),
      previousRefreshToken: seal('before first'),
      leaseOwner: null,
      leaseUntil: null,
      failures: 0,
      lastError: null,
      retryAt: null,
      refreshedAt: NOW + 7,
    })
    await store.saveTokens({ ...refreshed('second', 2), previousRefreshToken: null })
    t.equal((await store.getConnection('con'))?.previousRefreshToken, null)
    t.strictSame(await actions(store), ['first', 'second'])
  })

  t.test('tokens of another length take the place of the old', async (t) => {
    const store = await open(t)
    await connect(store)
    for (const [index, size] of [17_445, 357, 1189, 4389, 357].entries()) {
      const tokens = newTokens(`${size}`, size)
      t.equal(await store.saveTokens({ ...refreshed('t', index + 1), tokens }), true)
      t.strictSame((await store.getConnection('con'))?.accessToken, tokens.accessToken)
    }
  })

  t.test('tokens come too late where another writer was first', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.takeLease(lease('other'))
    const race = [store.saveTokens(refreshed('won')), store.saveTokens(refreshed('lost'))]
    t.strictSame(await Promise.all(race), [true, false])
    t.match(await store.getConnection('con'), newTokens('won'))
    t.equal(
      (await store.getConnection('con'))?.leaseOwner,
      'other',
      'another’s lease is left alone',
    )
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.saveTokens(refreshed('revoked', 3)), false)
    t.equal((await store.getConnection('con'))?.refreshToken, null)
    t.strictSame(await actions(store), ['won'])
  })

  t.test(
    'a failure is recorded and raises no generation, so that a late good answer lands',
    async (t) => {
      const store = await open(t)
      await connect(store)
      await store.takeLease(lease('me'))
      t.equal(await store.saveFailure({ ...failed, events: event('dead') }), true)
      const { status, lastError, retryAt } = failed
      const expected = { status, lastError, retryAt, failures: 1, generation: 1, leaseOwner: null }
      t.match(await store.getConnection('con'), { ...expected, ...newTokens('con') })
      await store.takeLease(lease('other'))
      await store.saveFailure({ ...failed, events: [] })
      t.match(await store.getConnection('con'), { failures: 2, leaseOwner: 'other' })
      t.equal(await store.saveTokens(refreshed('late')), true)
      t.equal(await store.saveFailure({ ...failed, events: event('too late') }), false)
      t.strictSame(await actions(store), ['dead', 'late'])
    },
  )

  t.test('the previous token goes once it was tried and refused', async (t) => {
    const store = await open(t)
    await connect(store)
    await store.saveTokens(refreshed('first'))
    const failure = { ...failed, expectedGeneration: 2, events: [] }
    await store.saveFailure(failure)
    t.ok((await store.getConnection('con'))?.previousRefreshToken)
    await store.saveFailure({ ...failure, dropPrevious: true })
    t.match(await store.getConnection('con'), { previousRefreshToken: null, failures: 2 })
    t.strictSame((await store.getConnection('con'))?.refreshToken, seal('refresh first'))
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.equal(await store.saveFailure({ ...failure, expectedGeneration: 3 }), false)
  })
}
