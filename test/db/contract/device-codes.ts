import type { Test } from 'tap'
import type { DeviceCode } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, connect, event, newApp, newGrant, NOW } from '../rows.ts'

const newDeviceCode = (id: string, fields: Partial<DeviceCode> = {}): DeviceCode => ({
  deviceCodeHash: id,
  userCodeHash: `user of ${id}`,
  appId: 'app',
  scope: 'projects',
  device: 'A device',
  address: '192.0.2.1',
  status: 'pending',
  connectionId: null,
  intervalSeconds: 5,
  polledAt: null,
  createdAt: NOW,
  expiresAt: NOW + 900_000,
  usedAt: null,
  grantId: null,
  ...fields,
})

export function testDeviceCodes(t: Test, open: OpenStore): void {
  t.test(
    'a device code is found by either code, and no two share the one people type',
    async (t) => {
      const store = await open(t)
      const code = newDeviceCode('code')
      t.equal(await store.addDeviceCode(code), true)
      t.equal(await store.addDeviceCode({ ...code, deviceCodeHash: 'another' }), false)
      t.strictSame(await store.getDeviceCode('code'), code)
      t.equal(await store.getDeviceCode('another'), undefined)
      const user = { userCodeHash: code.userCodeHash, now: NOW }
      t.strictSame(await store.findDeviceCode(user), code)
      t.equal(await store.findDeviceCode({ ...user, now: code.expiresAt }), undefined)
      t.equal(await store.findDeviceCode({ ...user, userCodeHash: 'x' }), undefined)
    },
  )

  t.test('polls that come too soon make the interval longer', async (t) => {
    const store = await open(t)
    await store.addDeviceCode(newDeviceCode('code'))
    const poll = (after: number) =>
      store.pollDeviceCode({ deviceCodeHash: 'code', now: NOW + after, penalty: 5 })
    t.strictSame(await poll(0), false, 'the first is never too soon')
    t.equal(await poll(5_000), false)
    t.equal(await poll(9_000), true)
    t.match(await store.getDeviceCode('code'), { intervalSeconds: 10, polledAt: NOW + 9_000 })
    t.equal(await poll(15_000), true)
    t.equal(await poll(30_000), false)
    t.equal(await poll(900_000), false, 'nothing is noted of what has ended')
    t.match(await store.getDeviceCode('code'), { polledAt: NOW + 30_000 })
  })

  t.test('a person’s first answer counts', async (t) => {
    const store = await open(t)
    await connect(store)
    for (const id of ['yes', 'no', 'late']) await store.addDeviceCode(newDeviceCode(id))
    const approve = (deviceCodeHash: string, now = NOW) =>
      store.approveDeviceCode({
        ...{ deviceCodeHash, connectionId: 'con', now },
        events: event(`approved ${deviceCodeHash}`),
      })
    const deny = (deviceCodeHash: string) => store.denyDeviceCode({ deviceCodeHash, now: NOW })
    t.strictSame(
      [await approve('yes'), await deny('yes'), await approve('yes')],
      [true, false, false],
    )
    t.strictSame([await deny('no'), await approve('no')], [true, false])
    t.equal(await approve('late', NOW + 900_000), false)
    t.match(await store.getDeviceCode('yes'), { status: 'approved', connectionId: 'con' })
    t.match(await store.getDeviceCode('no'), { status: 'denied', connectionId: null })
    const user = { userCodeHash: 'user of yes', now: NOW }
    t.equal(await store.findDeviceCode(user), undefined, 'nobody is asked again')
    t.strictSame(await actions(store), ['approved yes'])
  })

  t.test('an approved one begins one grant, in time', async (t) => {
    const store = await open(t)
    await connect(store)
    for (const id of ['good', 'pending', 'late']) await store.addDeviceCode(newDeviceCode(id))
    for (const deviceCodeHash of ['good', 'late']) {
      await store.approveDeviceCode({ deviceCodeHash, connectionId: 'con', now: NOW, events: [] })
    }
    const redeem = (deviceCodeHash: string, now = NOW + 1) =>
      store.redeemDeviceCode({
        ...{ deviceCodeHash, now, grant: newGrant(`of ${deviceCodeHash}`) },
        events: event(deviceCodeHash),
      })
    t.equal(await redeem('pending'), false)
    t.equal(await redeem('late', NOW + 900_000), false)
    t.strictSame(await Promise.all([redeem('good'), redeem('good')]), [true, false])
    t.strictSame(await store.getGrant('of good'), newGrant('of good'))
    t.match(await store.getDeviceCode('good'), { usedAt: NOW + 1, grantId: 'of good' })
    t.strictSame(await actions(store), ['good'])
  })

  t.test('they go with their app, their connection, and some time after their end', async (t) => {
    const store = await open(t)
    for (const id of ['app', 'other']) await store.addApp(newApp(id), [])
    await connect(store)
    const add = async (id: string, fields: Partial<DeviceCode> = {}) => {
      await store.addDeviceCode(newDeviceCode(id, fields))
      const approval = { deviceCodeHash: id, connectionId: 'con', now: NOW }
      if (id.startsWith('ok')) await store.approveDeviceCode({ ...approval, events: [] })
    }
    const left = async (...ids: string[]) => {
      const found = await Promise.all(ids.map((id) => store.getDeviceCode(id)))
      return ids.filter((_, index) => found[index])
    }
    await add('ok app')
    await add('ok other', { appId: 'other' })
    await add('waits')
    const ended = { connectionId: 'con', now: NOW, events: event('app revoked') }
    t.equal(await store.revokeAppGrants({ ...ended, appId: 'app' }), 0)
    t.strictSame(await left('ok app', 'ok other', 'waits'), ['ok other', 'waits'])
    t.strictSame(await actions(store), ['app revoked'])
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    t.strictSame(await left('ok other', 'waits'), ['waits'])
    await add('theirs', { appId: 'other' })
    await store.removeApp('app', [])
    t.strictSame(await left('waits', 'theirs'), ['theirs'])
    const bounds = { usedFor: 86_400_000, endedBefore: 0, eventsBefore: 0 }
    const { deviceCodes } = await store.sweep({ ...bounds, now: NOW + 1_199_999 })
    t.equal(deviceCodes, 0, 'long enough to be told that it has ended')
    t.match(await store.sweep({ ...bounds, now: NOW + 1_200_000 }), { deviceCodes: 1 })
    t.strictSame(await left('theirs'), [])
  })
}
