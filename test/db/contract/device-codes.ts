import type { Test } from 'tap'
import type { DeviceCode, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import {
  actions,
  connect,
  event,
  newApp,
  newDeviceCode,
  newGrant,
  NOW,
  sweep,
  removeApp,
} from '../rows.ts'
import { race } from './race.ts'

const get = (store: Store, deviceCodeHash: string) => store.getDeviceCode({ deviceCodeHash })

async function approve(store: Store, id: string): Promise<void> {
  const code = await get(store, id)
  if (!code) throw new Error('no device code')
  await store.updateDeviceCode(code, { ...code, status: 'approved', connectionId: 'con' }, [])
}

/** Bounds that no test reaches by accident. */
const bounds = { maxOfNetwork: 10, max: 10 }

export function testDeviceCodes(t: Test, open: OpenStore): void {
  t.test('a device code is found by either code, and user codes are unique', async (t) => {
    const store = await open(t)
    const code = newDeviceCode('code')
    t.equal(await store.addDeviceCode(code, bounds), 'added')
    const another = { ...code, deviceCodeHash: 'another' }
    t.equal(await store.addDeviceCode(another, bounds), 'user_code_taken')
    t.strictSame(await get(store, 'code'), code)
    t.equal(await get(store, 'another'), undefined)
    t.strictSame(await store.getDeviceCode({ userCodeHash: code.userCodeHash }), code)
    t.equal(await store.getDeviceCode({ userCodeHash: 'x' }), undefined)
  })

  t.test('codes that wait are bounded, by app and network and altogether', async (t) => {
    const store = await open(t)
    await connect(store)
    const add = (id: string, fields: Partial<DeviceCode> = {}, maxOfNetwork: number | null = 2) =>
      store.addDeviceCode(newDeviceCode(id, fields), { maxOfNetwork, max: 5 })
    t.strictSame([await add('1'), await add('2')], ['added', 'added'])
    t.equal(await add('3'), 'network_full')
    t.equal(await add('3', { appId: 'another' }), 'added')
    t.equal(await add('4', { network: 'another' }), 'added')
    const code = await get(store, '1')
    if (code) await store.updateDeviceCode(code, { ...code, status: 'denied' }, [])
    t.equal(await add('5'), 'network_full', 'a denied code still takes its place')
    await approve(store, '2')
    t.equal(await add('5'), 'added', 'an approved one does not')
    t.equal(await add('6', {}, null), 'added')
    t.equal(await add('7', {}, null), 'full')

    const waiting = await store.listWaitingDeviceCodes(NOW)
    const hashes = waiting.map(({ deviceCodeHash }) => deviceCodeHash)
    t.strictSame(hashes.sort(), ['1', '3', '4', '5', '6'])
    await store.removeDeviceCodes(['1', '2', '3'])
    t.strictSame([await get(store, '1'), await get(store, '3')], [undefined, undefined])
    t.ok(await get(store, '2'), 'approved codes stay')
    t.equal(await add('8', { createdAt: NOW + 900_000 }), 'added', 'expired codes take no place')
    t.strictSame(await store.listWaitingDeviceCodes(NOW + 900_000), [])
  })

  t.test('a device code is replaced only as it was read', async (t) => {
    const store = await open(t)
    await connect(store)
    for (const id of ['code', 'other']) await store.addDeviceCode(newDeviceCode(id), bounds)
    const read = newDeviceCode('code')
    const polled = { ...read, polledAt: NOW, intervalSeconds: 10 }
    t.equal(await store.updateDeviceCode(read, polled, event('polled')), true)
    t.equal(await store.updateDeviceCode(read, polled, event('too late')), false)
    t.strictSame(await get(store, 'code'), polled)
    const approved = { ...polled, status: 'approved', connectionId: 'con' } as const
    const denied = { ...polled, status: 'denied' } as const
    const give = (answer: DeviceCode) =>
      store.updateDeviceCode(polled, answer, event(answer.status))
    const [counts] = await race<DeviceCode>(t, [approved, denied], give)
    t.strictSame(await get(store, 'code'), counts)
    t.strictSame(await get(store, 'other'), newDeviceCode('other'))
    const none = newDeviceCode('none')
    t.equal(await store.updateDeviceCode(none, { ...none, polledAt: NOW }, event('none')), false)
    t.strictSame(await actions(store), ['polled', counts.status])
  })

  t.test('an approved device code begins one grant, until it expires', async (t) => {
    const store = await open(t)
    await connect(store)
    for (const id of ['good', 'pending', 'late'])
      await store.addDeviceCode(newDeviceCode(id), bounds)
    for (const id of ['good', 'late']) await approve(store, id)
    const redeem = (deviceCodeHash: string, now = NOW + 1) =>
      store.addGrant(newGrant(`of ${deviceCodeHash}`), {
        source: { deviceCodeHash },
        now,
        events: event(deviceCodeHash),
      })
    t.equal(await redeem('pending'), false)
    t.equal(await redeem('late', NOW + 900_000), false)
    await race(t, ['good', 'good'], redeem)
    t.strictSame(await store.getGrant('of good'), newGrant('of good'))
    t.match(await get(store, 'good'), { usedAt: NOW + 1, grantId: 'of good' })
    t.strictSame(await actions(store), ['good'])
  })

  t.test(
    'device codes are deleted with their app or connection, and some time after they expire',
    async (t) => {
      const store = await open(t)
      for (const id of ['app', 'other']) await store.addApp(newApp(id), [])
      await connect(store)
      const add = async (id: string, fields: Partial<DeviceCode> = {}) => {
        await store.addDeviceCode(newDeviceCode(id, fields), bounds)
        if (id.startsWith('ok')) await approve(store, id)
      }
      const left = async (...ids: string[]) => {
        const found = await Promise.all(ids.map((id) => get(store, id)))
        return ids.filter((_, index) => found[index])
      }
      await add('ok app')
      await add('ok other', { appId: 'other' })
      await add('waits')
      const ended = { connectionId: 'con', now: NOW, events: event('app revoked') }
      t.equal(await store.revokeGrants({ ...ended, appId: 'app' }), 0)
      t.strictSame(await left('ok app', 'ok other', 'waits'), ['ok other', 'waits'])
      t.strictSame(await actions(store), ['app revoked'])
      await store.revokeConnection({ id: 'con', now: NOW, events: [] })
      t.strictSame(await left('ok other', 'waits'), ['waits'])
      await add('theirs', { appId: 'other' })
      await removeApp(store, 'app', [])
      t.strictSame(await left('waits', 'theirs'), ['theirs'])
      const sweepBounds = { keepUsedMs: 86_400_000, endedBefore: 0, eventsBefore: 0 }
      const { deviceCodes } = await sweep(store, { ...sweepBounds, now: NOW + 1_199_999 })
      t.equal(deviceCodes, 0, 'long enough to be told that it has ended')
      t.match(await sweep(store, { ...sweepBounds, now: NOW + 1_200_000 }), { deviceCodes: 1 })
      t.strictSame(await left('theirs'), [])
    },
  )
}
