import type { Test } from 'tap'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newCode, newFlow, newGrant, NOW } from '../rows.ts'

export function testFlows(t: Test, open: OpenStore): void {
  t.test('a flow is taken once, unchanged', async (t) => {
    const store = await open(t)
    const flow = newFlow('state', { appState: null, challenge: null, reconnect: 'con' })
    await store.addFlow(flow)
    const taking = { stateHash: 'state', browserHashes: ['browser'], now: NOW }
    const [first, second] = await Promise.all([store.takeFlow(taking), store.takeFlow(taking)])
    t.strictSame(first, flow)
    t.equal(second, undefined)
  })

  t.test('another browser, or one after the end, gets nothing and changes nothing', async (t) => {
    const store = await open(t)
    const flow = newFlow('state')
    await store.addFlow(flow)
    const taking = { stateHash: 'state', browserHashes: ['browser'], now: NOW }
    t.equal(await store.takeFlow({ ...taking, browserHashes: ['another'] }), undefined)
    t.equal(await store.takeFlow({ ...taking, now: flow.expiresAt }), undefined)
    t.strictSame(await store.takeFlow({ ...taking, now: flow.expiresAt - 1 }), flow)
  })

  t.test('without a state, a browser’s only flow is taken, and of several none', async (t) => {
    const store = await open(t)
    const [first, second, foreign] = [
      newFlow('first', { browserHash: 'b1' }),
      newFlow('second', { browserHash: 'b2' }),
      newFlow('foreign', { browserHash: 'b3' }),
    ]
    for (const flow of [first, second, foreign]) await store.addFlow(flow)
    const taking = { stateHash: null, browserHashes: ['b1', 'b2', 'ended'], now: NOW }
    t.equal(await store.takeFlow({ ...taking, browserHashes: [] }), undefined)
    t.equal(await store.takeFlow(taking), undefined)
    t.strictSame(
      await store.takeFlow({ stateHash: 'first', browserHashes: ['b1'], now: NOW }),
      first,
    )
    t.equal(await store.takeFlow({ ...taking, now: second.expiresAt }), undefined)
    t.strictSame(await store.takeFlow(taking), second)
    t.equal(await store.takeFlow(taking), undefined)
    t.strictSame(await store.takeFlow({ ...taking, browserHashes: ['b3'] }), foreign)
  })

  t.test('a code begins one grant', async (t) => {
    const store = await open(t)
    const code = newCode('code')
    await connect(store, 'con', { code })
    t.strictSame(await store.getCode('code'), { ...code, usedAt: null, grantId: null })
    t.equal(await store.getCode('another'), undefined)

    const redeem = (id: string) => {
      const grant = newGrant(id)
      const source = { codeHash: 'code' }
      return store.addGrant(grant, { source, now: NOW + 1, events: event(id) })
    }
    t.strictSame(await Promise.all([redeem('first'), redeem('second')]), [true, false])
    t.strictSame(await store.getGrant('first'), newGrant('first'))
    t.equal(await store.getGrant('second'), undefined)
    t.strictSame(await store.getCode('code'), { ...code, usedAt: NOW + 1, grantId: 'first' })
    t.strictSame(await actions(store), ['first'])
  })

  t.test('an expired or unknown code begins no grant', async (t) => {
    const store = await open(t)
    const code = newCode('code')
    await connect(store, 'con', { code })
    const grant = newGrant('grant')
    const redeem = (codeHash: string, now: number) =>
      store.addGrant(grant, { source: { codeHash }, now, events: event('late') })
    t.equal(await redeem('code', code.expiresAt), false)
    t.equal(await redeem('another', NOW), false)
    t.equal(await store.getGrant('grant'), undefined)
    t.strictSame(await actions(store), [])
  })

  t.test('a grant that can’t be stored leaves its code unused', async (t) => {
    const store = await open(t)
    for (const id of ['a', 'b']) {
      await connect(store, id, { code: newCode(id, { connectionId: id }) })
    }
    const redeem = (codeHash: string) => {
      const grant = newGrant('the same', { connectionId: codeHash })
      return store.addGrant(grant, { source: { codeHash }, now: NOW, events: event(codeHash) })
    }
    t.equal(await redeem('a'), true)
    t.equal(await redeem('b'), false)
    t.equal((await store.getCode('b'))?.usedAt, null)
    t.strictSame(await actions(store), ['a'])
  })
}
