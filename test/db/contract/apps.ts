import type { Test } from 'tap'
import type { App } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import {
  actions,
  begin,
  connect,
  event,
  newApp,
  newCode,
  newGrant,
  NOW,
  removeApp,
} from '../rows.ts'
import { race } from './race.ts'

export function testApps(t: Test, open: OpenStore): void {
  t.test('an app is stored unchanged, with its event', async (t) => {
    const store = await open(t)
    const secrets = [{ hash: 'h', createdAt: NOW, expiresAt: null }]
    const app = newApp('app', { secrets, confidential: true, origins: ['https://app.example'] })
    await store.addApp(app, event('app.added'))
    t.strictSame(await store.getApp('app'), app)
    t.equal(await store.getApp('another'), undefined)
    t.strictSame(await actions(store), ['app.added'])
    await t.rejects(store.addApp(app, event('again')), 'an id is added once')
    t.strictSame(await actions(store), ['app.added'], 'what failed left no event')
  })

  t.test('apps are listed by id, and each field can be changed', async (t) => {
    const store = await open(t)
    await store.addApp(newApp('b'), [])
    await store.addApp(newApp('a'), [])
    const changed = newApp('b', {
      name: 'New',
      confidential: true,
      secrets: [{ hash: 'h', createdAt: NOW, expiresAt: NOW + 1 }],
      redirectUris: ['http://127.0.0.1/cb'],
      origins: ['https://b.example'],
      trusted: true,
      tokenLifetimeSeconds: 60,
      deliver: 'fragment',
      tokens: 'ellipsis',
      device: true,
      dpop: 'required',
      createdAt: NOW + 1,
    })
    t.equal(await store.updateApp(newApp('b'), changed, event('app.changed')), true)
    t.strictSame(await store.listApps(), [newApp('a'), changed])
    const none = newApp('c')
    t.equal(await store.updateApp(none, none, event('no such app')), false)
    t.strictSame(await actions(store), ['app.changed'])
  })

  t.test('an app is replaced only as it was read: no change undoes another', async (t) => {
    const store = await open(t)
    const secret = (hash: string) => [{ hash, createdAt: NOW, expiresAt: null }]
    const read = newApp('app', { confidential: true, secrets: secret('leaked') })
    await store.addApp(read, [])
    const rotated = { ...read, secrets: secret('new') }
    const renamed = { ...read, name: 'New' }
    const update = (app: App) => store.updateApp(read, app, event(`to ${app.name}`))
    const [won] = await race(t, [rotated, renamed], update)
    t.strictSame(await store.getApp('app'), won)
    t.strictSame(await actions(store), [`to ${won.name}`])
  })

  t.test('an origin is found exactly, of any app', async (t) => {
    const store = await open(t)
    await store.addApp(newApp('a'), [])
    await store.addApp(newApp('b', { origins: ['https://x.example', 'https://y.example'] }), [])
    const has = (origin: string) => store.hasOrigin({ origin, anyPortOf: null })
    t.equal(await has('https://y.example'), true)
    t.equal(await has('https://y.example.evil'), false)
    t.equal(await has('https://y.example:1'), false)
    t.equal(await has('y.example'), false)
  })

  t.test('an origin is found with any port, where asked for', async (t) => {
    const store = await open(t)
    const [bare, ported] = ['http://127.0.0.1', 'http://[::1]']
    const has = (anyPortOf: string) => store.hasOrigin({ origin: `${anyPortOf}:9`, anyPortOf })
    t.strictSame([await has(bare), await has(ported)], [false, false])
    await store.addApp(newApp('a', { origins: [bare, `${ported}:8080`, 'http://127.0.0.2:1'] }), [])
    t.strictSame([await has(bare), await has(ported)], [true, true])
    t.strictSame([await has('http://127.0.0'), await has('http://[::')], [false, false])
  })

  t.test('an origin is found of apps with one kind of session, where asked for', async (t) => {
    const store = await open(t)
    const [own, other] = ['https://x.example', 'https://y.example']
    await store.addApp(newApp('a', { origins: [own], session: 'cookie' }), [])
    await store.addApp(newApp('b', { origins: [other] }), [])
    const has = (origin: string) =>
      store.hasOrigin({ origin, anyPortOf: null, session: 'cookie' as const })
    t.strictSame([await has(own), await has(other)], [true, false])
  })

  t.test('an app is removed with its codes, and its grants are revoked', async (t) => {
    const store = await open(t)
    for (const id of ['app', 'other']) await store.addApp(newApp(id), [])
    await connect(store)
    await begin(store, newGrant('mine'))
    await begin(store, newGrant('ours', { appId: 'other' }))
    await begin(store, newGrant('ended'))
    await store.revokeGrants({ id: 'ended', now: NOW + 1, events: [] })
    await connect(store, 'con2', { code: newCode('unused', { connectionId: 'con2' }) })

    t.equal(await removeApp(store, 'app', event('app.removed')), true)
    t.equal(await store.getApp('app'), undefined)
    const bounds = { now: NOW + 5, limit: 1 }
    t.equal(await store.revokeGrantsOfRemovedApps(bounds), 1)
    t.equal((await store.getGrant('mine'))?.revokedAt, NOW + 5)
    t.equal(await store.revokeGrantsOfRemovedApps(bounds), 0, 'nothing is left to do')
    t.equal((await store.getGrant('ended'))?.revokedAt, NOW + 1, 'was revoked before')
    t.equal((await store.getGrant('ours'))?.revokedAt, null)
    t.equal(await store.getCode('unused'), undefined)
    t.equal(await removeApp(store, 'app', event('again')), false)
    t.strictSame(await actions(store), ['app.removed'])
  })
}
