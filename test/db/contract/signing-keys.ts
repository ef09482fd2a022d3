import type { Test } from 'tap'
import type { SigningKey } from '../../../db/store.ts'
import {
  extendTokensUntil,
  removeKey,
  revokeKey,
  rotateKeys,
} from '../../../server/crypto/key-set.ts'
import type { OpenStore } from '../contract.ts'
import {
  actions,
  addSigningKey,
  event,
  newSigningKey,
  NOW,
  purge,
  seal,
  updateSigningKeys,
} from '../rows.ts'
import { race } from './race.ts'

export function testSigningKeys(t: Test, open: OpenStore): void {
  t.test('one signing key is active; the previous one retires', async (t) => {
    const store = await open(t)
    t.strictSame(await store.listSigningKeys(), [])
    await addSigningKey(store, newSigningKey('k1'), event('k1'))
    await addSigningKey(store, newSigningKey('k2', { createdAt: NOW + 1 }), event('k2'))
    const old = newSigningKey('old', { createdAt: NOW + 2, status: 'retired', endedAt: NOW })
    await addSigningKey(store, old, [])
    t.strictSame(await store.listSigningKeys(), [
      newSigningKey('k1', { status: 'retired', endedAt: NOW + 1 }),
      newSigningKey('k2', { createdAt: NOW + 1 }),
      old,
    ])
    t.strictSame(await actions(store), ['k1', 'k2'])
  })

  t.test('the next signing key signs after a rotation, which happens once', async (t) => {
    const store = await open(t)
    const rotate = (kid: string) => {
      const following = newSigningKey(kid, { createdAt: NOW + 5, status: 'next' })
      const change = (keys: SigningKey[]) => rotateKeys(keys, { following, now: NOW + 5 })
      return updateSigningKeys(store, change, event(`to ${kid}`))
    }
    t.equal(await addSigningKey(store, newSigningKey('k1'), []), true)
    t.equal(await rotate('k3'), false, 'there is no next one')
    const next = newSigningKey('k2', { createdAt: NOW + 1, status: 'next' })
    t.equal(await addSigningKey(store, next, event('next')), true)
    t.equal(await addSigningKey(store, { ...next, kid: 'other' }, event('second')), false)
    t.equal(await rotate('k3'), true)
    t.strictSame(await store.listSigningKeys(), [
      newSigningKey('k1', { status: 'retired', endedAt: NOW + 5 }),
      newSigningKey('k2', { createdAt: NOW + 1, activatedAt: NOW + 5 }),
      newSigningKey('k3', { createdAt: NOW + 5, status: 'next' }),
    ])
    t.equal(await updateSigningKeys(store, (keys) => revokeKey(keys, 'k2', NOW + 6)), true)
    t.match(await store.listSigningKeys(), [
      { kid: 'k1', status: 'retired' },
      { kid: 'k2', status: 'revoked', endedAt: NOW + 6 },
      { kid: 'k3', status: 'active', activatedAt: NOW + 6 },
    ])
    t.equal(await rotate('k4'), false, 'and there is none to follow it yet')
    t.strictSame(await actions(store), ['next', 'to k3'])
  })

  t.test(
    'a signing key records how long its tokens live, and is removed only after its end',
    async (t) => {
      const store = await open(t)
      for (const [index, kid] of ['k1', 'k2', 'k3'].entries()) {
        await addSigningKey(store, newSigningKey(kid, { createdAt: NOW + index }), [])
      }
      const note = (until: number) =>
        updateSigningKeys(store, (keys) => extendTokensUntil(keys, 'k1', until))
      t.strictSame([await note(NOW + 9), await note(NOW + 8)], [true, false])
      t.equal((await store.listSigningKeys())[0]?.tokensUntil, NOW + 9)
      const remove = (kid: string) =>
        updateSigningKeys(store, (keys) => removeKey(keys, kid), event(`no ${kid}`))
      await updateSigningKeys(store, (keys) => revokeKey(keys, 'k2', NOW))
      t.equal(await remove('k1'), true)
      t.equal(await remove('k1'), false)
      t.equal(await remove('k2'), false, 'its erasure is pending')
      t.equal(await remove('k3'), false, 'it signs')
      await purge(store, NOW)
      t.equal(await remove('k2'), true)
      t.strictSame(
        (await store.listSigningKeys()).map(({ kid }) => kid),
        ['k3'],
      )
      t.strictSame(await actions(store), ['no k1', 'no k2'])
    },
  )

  t.test('the private key of a revoked signing key is overwritten', async (t) => {
    const store = await open(t)
    await addSigningKey(store, newSigningKey('k1'), [])
    await addSigningKey(store, newSigningKey('k2', { createdAt: NOW + 1 }), [])
    const revoke = (kid: string, action: string) =>
      updateSigningKeys(store, (keys) => revokeKey(keys, kid, NOW + 9), event(action))
    t.equal(await revoke('k1', 'k1'), true)
    t.equal(await revoke('k1', 'again'), false)
    t.equal(await revoke('another', 'none'), false)
    const [k1, k2] = await store.listSigningKeys()
    t.match(k1, { status: 'revoked', endedAt: NOW + 1, privateKey: Buffer.alloc(357) })
    t.equal(k2?.status, 'active')
    t.equal(await store.isErasurePending(), true)
    t.equal(await purge(store, NOW), true)
    t.equal(await store.isErasurePending(), false)
    await revoke('k2', 'k2')
    t.equal((await store.listSigningKeys())[1]?.endedAt, NOW + 9)
    t.strictSame(await actions(store), ['k1', 'k2'])
  })

  t.test('the set of signing keys is replaced only as it was read', async (t) => {
    const store = await open(t)
    await addSigningKey(store, newSigningKey('k1'))
    const read = await store.listSigningKeys()
    const change = (tokensUntil: number) =>
      store.replaceSigningKeys(read, extendTokensUntil(read, 'k1', tokensUntil) ?? [], [])
    const [tokensUntil] = await race(t, [NOW + 1, NOW + 2], change)
    t.equal((await store.listSigningKeys())[0]?.tokensUntil, tokensUntil)
    const other = {
      ...newSigningKey('k1', { tokensUntil }),
      privateKey: seal('sealed anew'),
    }
    const noted = extendTokensUntil([other], 'k1', NOW + 3) ?? []
    t.equal(await store.replaceSigningKeys([other], noted, []), true, 'sealed anew, the same key')
    t.strictSame((await store.listSigningKeys())[0]?.privateKey, seal('key k1'), 'which stays')
  })
}
