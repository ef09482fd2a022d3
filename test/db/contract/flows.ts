import type { Test } from 'tap'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newCode, newGrant, NOW } from '../rows.ts'
import { race } from './race.ts'

export function testFlows(t: Test, open: OpenStore): void {
  t.test('a state is used once', async (t) => {
    const store = await open(t)
    const state = { stateHash: 'state', expiresAt: NOW + 1 }
    await race(t, [state, state], store.useState)
    t.equal(await store.useState({ ...state, stateHash: 'another' }), true)
    t.strictSame(await store.listUsedStates(['state', 'unused']), ['state'])
    t.strictSame(await store.listUsedStates([]), [])
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
    const [won, lost = ''] = await race(t, ['first', 'second'], redeem)
    t.strictSame(await store.getGrant(won), newGrant(won))
    t.equal(await store.getGrant(lost), undefined)
    t.strictSame(await store.getCode('code'), { ...code, usedAt: NOW + 1, grantId: won })
    t.strictSame(await actions(store), [won])
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
