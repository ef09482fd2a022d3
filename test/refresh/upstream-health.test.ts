import t from 'tap'
import { createUpstreamHealth } from '../../server/refresh/upstream-health.ts'

t.test('others work once another was refreshed after this one began to fail', async (t) => {
  const upstreamHealth = createUpstreamHealth()
  upstreamHealth.succeeded('other')
  t.equal(upstreamHealth.othersWork('one'), false, 'nothing is held against one that hasn’t failed')
  upstreamHealth.failed('one', 'otherwise')
  t.equal(upstreamHealth.othersWork('one'), false, 'what came before tells nothing')
  upstreamHealth.succeeded('other')
  upstreamHealth.failed('one', 'refused')
  t.equal(upstreamHealth.othersWork('one'), true)
  upstreamHealth.succeeded('one')
  upstreamHealth.failed('one', 'otherwise')
  t.equal(upstreamHealth.othersWork('one'), false, 'its own success doesn’t count')
})

t.test('many refused in a row are no chance; one success ends it', async (t) => {
  const upstreamHealth = createUpstreamHealth()
  for (let count = 0; count < 9; count++) upstreamHealth.failed('one', 'refused')
  t.equal(upstreamHealth.refusesAll(), false, 'one is one, however often')
  for (const id of ['two', 'three', 'four']) upstreamHealth.failed(id, 'refused')
  t.equal(upstreamHealth.refusesAll(), false)
  for (const id of ['five', 'six']) upstreamHealth.failed(id, 'refused')
  t.equal(upstreamHealth.refusesAll(), true)
  upstreamHealth.succeeded('seven')
  t.equal(upstreamHealth.refusesAll(), false)
})

t.test('the broker’s client is refused when two connections meet it', async (t) => {
  const upstreamHealth = createUpstreamHealth()
  upstreamHealth.failed('one', 'misconfigured')
  upstreamHealth.failed('one', 'misconfigured')
  t.equal(upstreamHealth.refusesClient(), false)
  upstreamHealth.failed('two', 'misconfigured')
  upstreamHealth.failed('three', 'misconfigured')
  t.equal(upstreamHealth.refusesClient(), true)
  upstreamHealth.succeeded('four')
  t.equal(upstreamHealth.refusesClient(), false)
})
