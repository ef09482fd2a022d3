import t from 'tap'
import { createUpstreamHealth } from '../../server/refresh/upstream-health.ts'

t.test(
  'othersSucceed: another connection was refreshed after this one began to fail',
  async (t) => {
    const upstreamHealth = createUpstreamHealth()
    upstreamHealth.recordSuccess('other')
    t.equal(upstreamHealth.othersSucceed('one'), false, 'this connection has not failed')
    upstreamHealth.recordFailure('one', 'other')
    t.equal(upstreamHealth.othersSucceed('one'), false, 'earlier successes do not count')
    upstreamHealth.recordSuccess('other')
    upstreamHealth.recordFailure('one', 'refused')
    t.equal(upstreamHealth.othersSucceed('one'), true)
    upstreamHealth.recordSuccess('one')
    upstreamHealth.recordFailure('one', 'other')
    t.equal(upstreamHealth.othersSucceed('one'), false, 'its own success does not count')
  },
)

t.test('refusesAll: five connections in a row, until one succeeds', async (t) => {
  const upstreamHealth = createUpstreamHealth()
  for (let count = 0; count < 9; count++) upstreamHealth.recordFailure('one', 'refused')
  t.equal(upstreamHealth.refusesAll(), false, 'one connection counts once')
  for (const id of ['two', 'three', 'four']) upstreamHealth.recordFailure(id, 'refused')
  t.equal(upstreamHealth.refusesAll(), false)
  for (const id of ['five', 'six']) upstreamHealth.recordFailure(id, 'refused')
  t.equal(upstreamHealth.refusesAll(), true)
  upstreamHealth.recordSuccess('seven')
  t.equal(upstreamHealth.refusesAll(), false)
})

t.test('refusesClient: two connections in a row', async (t) => {
  const upstreamHealth = createUpstreamHealth()
  upstreamHealth.recordFailure('one', 'misconfigured')
  upstreamHealth.recordFailure('one', 'misconfigured')
  t.equal(upstreamHealth.refusesClient(), false)
  upstreamHealth.recordFailure('two', 'misconfigured')
  upstreamHealth.recordFailure('three', 'misconfigured')
  t.equal(upstreamHealth.refusesClient(), true)
  upstreamHealth.recordSuccess('four')
  t.equal(upstreamHealth.refusesClient(), false)
})
