import t from 'tap'
import { createSigns } from '../../server/refresh/upstream-health.ts'

t.test('others work once another was refreshed after this one began to fail', async (t) => {
  const signs = createSigns()
  signs.succeeded('other')
  t.equal(signs.othersWork('one'), false, 'nothing is held against one that hasn’t failed')
  signs.failed('one', 'otherwise')
  t.equal(signs.othersWork('one'), false, 'what came before tells nothing')
  signs.succeeded('other')
  signs.failed('one', 'refused')
  t.equal(signs.othersWork('one'), true)
  signs.succeeded('one')
  signs.failed('one', 'otherwise')
  t.equal(signs.othersWork('one'), false, 'its own success doesn’t count')
})

t.test('many refused in a row are no chance; one success ends it', async (t) => {
  const signs = createSigns()
  for (let count = 0; count < 9; count++) signs.failed('one', 'refused')
  t.equal(signs.refusesAll(), false, 'one is one, however often')
  for (const id of ['two', 'three', 'four']) signs.failed(id, 'refused')
  t.equal(signs.refusesAll(), false)
  for (const id of ['five', 'six']) signs.failed(id, 'refused')
  t.equal(signs.refusesAll(), true)
  signs.succeeded('seven')
  t.equal(signs.refusesAll(), false)
})

t.test('the broker’s client is refused when two connections meet it', async (t) => {
  const signs = createSigns()
  signs.failed('one', 'misconfigured')
  signs.failed('one', 'misconfigured')
  t.equal(signs.refusesClient(), false)
  signs.failed('two', 'misconfigured')
  signs.failed('three', 'misconfigured')
  t.equal(signs.refusesClient(), true)
  signs.succeeded('four')
  t.equal(signs.refusesClient(), false)
})
