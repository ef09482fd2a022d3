import type { Test } from 'tap'
import type { App, ConnectionStatus, Grant, Store } from '../../../db/store.ts'
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
  purge,
  sweep,
} from '../rows.ts'
import { race } from './race.ts'

const STATUSES: ConnectionStatus[] = ['active', 'needs_reconnect', 'revoked']
const HOUR = 3_600_000
const DAY = 24 * HOUR
const nothing = { codes: 0, deviceCodes: 0, links: 0, grants: 0, connections: 0, events: 0 }
const bounds = { now: NOW, keepUsedMs: DAY, endedBefore: NOW - DAY, eventsBefore: NOW - DAY }

const hasCode = async (store: Store, codeHash: string) =>
  (await store.getCode(codeHash)) !== undefined

export function testUpkeep(t: Test, open: OpenStore): void {
  t.test('meta keeps the latest values', async (t) => {
    const store = await open(t)
    t.strictSame(await store.getMeta(), {})
    await store.setMeta({ a: '1', b: '2' })
    await store.setMeta({ b: '3' })
    await store.setMeta({})
    t.strictSame(await store.getMeta(), { a: '1', b: '3' })
  })

  t.test('used states and expired codes are swept, used codes some time later', async (t) => {
    const store = await open(t)
    await store.useState({ stateHash: 'ended', expiresAt: NOW })
    await store.useState({ stateHash: 'live', expiresAt: NOW + 1 })
    for (const [id, expiresAt] of Object.entries({ gone: NOW, used: NOW, live: NOW + 1 })) {
      await connect(store, id, { code: newCode(id, { connectionId: id, expiresAt }) })
    }
    const grant = newGrant('grant', { connectionId: 'used' })
    await store.addGrant(grant, { source: { codeHash: 'used' }, now: NOW - 5, events: [] })

    t.strictSame(await sweep(store, bounds), { ...nothing, codes: 1 })
    t.equal(await hasCode(store, 'gone'), false)
    t.equal(await hasCode(store, 'used'), true)
    t.equal(await hasCode(store, 'live'), true)
    t.strictSame(await store.listUsedStates(['ended', 'live']), ['live'])
    t.strictSame(await sweep(store, { ...bounds, keepUsedMs: 5 }), { ...nothing, codes: 1 })
    t.equal(await hasCode(store, 'used'), false)
  })

  t.test('grants and connections stay visible for some time after their end', async (t) => {
    const store = await open(t)
    for (const id of ['con', 'dead', 'fresh']) await connect(store, id)
    const { endedBefore } = bounds
    const end = endedBefore / 1000
    await begin(store, newGrant('expired', { expiresAtSeconds: end - 1 }))
    await begin(store, newGrant('expired later', { expiresAtSeconds: end }))
    await begin(store, newGrant('revoked', { connectionId: 'dead' }))
    await begin(store, newGrant('live'))
    await store.revokeConnection({ id: 'dead', now: endedBefore - 1, events: [] })
    await store.revokeConnection({ id: 'fresh', now: endedBefore, events: [] })

    const swept = await sweep(store, bounds)
    t.strictSame(swept, { ...nothing, grants: 2 }, 'none whose erasure is pending')
    t.ok(await store.getConnection('dead'))
    await purge(store, NOW)
    t.strictSame(await sweep(store, bounds), { ...nothing, connections: 1 })
    t.equal(await store.getConnection('dead'), undefined)
    t.ok(await store.getConnection('fresh'))
    const left = await store.listGrants('con')
    t.strictSame(
      left.map(({ id }) => id),
      ['expired later', 'live'],
    )
  })

  t.test('grants of an offline app stay until its grant lifetime is over', async (t) => {
    const store = await open(t)
    const end = bounds.endedBefore / 1000
    const add = async (id: string, fields: Partial<App>, grant: Partial<Grant> = {}) => {
      const appId = `app of ${id}`
      await store.addApp(newApp(appId, fields), [])
      const expired = { appId, createdAt: (end - 100) * 1000, expiresAtSeconds: end - 1 }
      await begin(store, newGrant(id, { ...expired, ...grant }))
    }
    await connect(store, 'con')
    await add('offline', { offline: true })
    await add('short', { offline: true, grantLifetimeSeconds: 99 })
    await add('long', { offline: true, grantLifetimeSeconds: 100 })
    await add('revoked', { offline: true }, { revokedAt: bounds.endedBefore - 1 })
    await add('revoked later', { offline: true }, { revokedAt: bounds.endedBefore })
    await add('online', {})
    await begin(store, newGrant('removed', { appId: 'removed', expiresAtSeconds: end - 1 }))
    t.match(await store.sweep({ ...bounds, limit: 2 }), { more: true }, 'in batches')
    await sweep(store, bounds)
    const left = await store.listGrants('con')
    t.strictSame(
      left.map(({ id, expiresAtSeconds }) => [id, expiresAtSeconds]),
      ['long', 'offline', 'revoked later'].map((id) => [id, Math.floor(bounds.now / 1000)]),
    )
    t.match(await store.sweep({ ...bounds, limit: 1 }), { more: false }, 'none is looked at again')
  })

  t.test('grants that stay count as a batch', async (t) => {
    const store = await open(t)
    await connect(store, 'con')
    await store.addApp(newApp('offline', { offline: true }), [])
    const expiresAtSeconds = bounds.endedBefore / 1000 - 1
    for (const id of ['a', 'b', 'c'])
      await begin(store, newGrant(id, { appId: 'offline', expiresAtSeconds }))
    t.match(await store.sweep({ ...bounds, limit: 2 }), { more: true })
    t.match(await store.sweep({ ...bounds, limit: 2 }), { more: false })
    const left = await store.listGrants('con')
    t.equal(left.filter((grant) => grant.expiresAtSeconds > expiresAtSeconds).length, 3)
  })

  t.test('grants of an app are listed by id, and have external ids', async (t) => {
    const store = await open(t)
    for (const id of ['con', 'other']) await connect(store, id, { username: `user of ${id}` })
    for (const id of ['c', 'a', 'd', 'b']) {
      const connectionId = id === 'd' ? 'other' : 'con'
      await begin(store, newGrant(id, { connectionId, externalId: `user ${id}` }))
    }
    await begin(store, newGrant('e', { appId: 'another', externalId: 'user a' }))
    const page = { appId: 'app', externalId: null, after: null, limit: 10 }
    const list = async (more: Partial<typeof page> | { externalId: string } | { after: string }) =>
      (await store.listGrantsOfApp({ ...page, ...more })).map(({ grant }) => grant.id)
    t.strictSame(await list({}), ['a', 'b', 'c', 'd'])
    t.strictSame(await list({ limit: 2 }), ['a', 'b'])
    t.strictSame(await list({ after: 'b' }), ['c', 'd'])
    t.strictSame(await list({ externalId: 'user a' }), ['a'])
    t.strictSame(await list({ externalId: 'user a', after: 'a' }), [])
    const [last] = await store.listGrantsOfApp({ ...page, after: 'c' })
    t.strictSame(last?.connection, { username: 'user of other', status: 'active' })

    const change = { externalId: 'new', events: event('grant.external_id_set') }
    t.equal(await store.setExternalId({ ...change, grantId: 'a', appId: 'another' }), false)
    t.strictSame(await actions(store), [])
    t.equal(await store.setExternalId({ ...change, grantId: 'a', appId: 'app' }), true)
    t.strictSame(await list({ externalId: 'new' }), ['a'])
    t.strictSame(await actions(store), ['grant.external_id_set'])
    const search = { statuses: STATUSES, appId: null, search: 'user b' }
    const { rows } = await store.walkConnections(search, null)
    t.strictSame(rows, [], 'only external ids of apps that are registered')
    await store.addApp(newApp('app'), [])
    t.match((await store.walkConnections(search, null)).rows, [{ id: 'con' }])
    t.equal(
      await store.revokeConnection({ id: 'con', now: NOW, erasePerson: true, events: [] }),
      true,
    )
    t.equal((await store.getGrant('b'))?.externalId, null, 'erased with the person')
  })

  t.test('old events and counts are deleted, in batches', async (t) => {
    const store = await open(t)
    const usageBefore = NOW - 31 * DAY
    const old = Array.from({ length: 1200 }, () => event('old', { at: bounds.eventsBefore - 1 })[0])
    await store.addEvents(old.filter((event) => event !== undefined))
    const some = await store.sweep({ ...bounds, limit: 7 })
    t.strictSame(some, { ...nothing, events: 7, more: true }, 'no more than the limit')
    await store.addEvents(event('young', { at: bounds.eventsBefore }))
    const count = { appId: 'a', kind: 'swap' as const, outcome: 'ok', count: 1 }
    const hours = [usageBefore - HOUR, usageBefore]
    await store.recordUse({ grants: [], counts: hours.map((hour) => ({ ...count, hour })) })
    t.strictSame(await sweep(store, bounds), { ...nothing, events: 1193 })
    t.strictSame(await store.sweep({ ...bounds, limit: 7 }), { ...nothing, more: false })
    t.strictSame(await actions(store), ['young'])
    const { appId, ...rest } = count
    const sums = await store.sumUsage({ appId, since: usageBefore - HOUR, stretchMs: DAY })
    t.match(sums, [rest], 'charts of thirty days stay whole')
    t.equal(sums.length, 1)
    const days = 40 * DAY
    const later = { ...bounds, now: NOW + days, eventsBefore: usageBefore - HOUR }
    await store.recordUse({ grants: [], counts: [{ ...count, hour: usageBefore - HOUR }] })
    await sweep(store, later)
    t.equal((await store.sumUsage({ appId, since: 0, stretchMs: DAY })).length, 2)
  })

  t.test('a proof is used once, until it has expired and is swept', async (t) => {
    const store = await open(t)
    const use = (proofHash: string, expiresAt = NOW) => store.useProof({ proofHash, expiresAt })
    await race(t, ['a', 'a'], use)
    t.equal(await use('b', NOW + 1), true)
    await sweep(store, bounds)
    t.strictSame([await use('a'), await use('b', NOW + 1)], [true, false])
  })

  t.test('connections are counted by status', async (t) => {
    const store = await open(t)
    t.strictSame(await store.countConnections(), { active: 0, needs_reconnect: 0, revoked: 0 })
    for (const id of ['a', 'b', 'c']) await connect(store, id)
    await store.revokeConnection({ id: 'c', now: NOW, events: [] })
    t.strictSame(await store.countConnections(), { active: 2, needs_reconnect: 0, revoked: 1 })
  })

  t.test('a writable store says so, and closes after writes in progress', async (t) => {
    const store = await open(t)
    await store.checkWritable()
    await store.checkWritable()
    t.strictSame(await store.getMeta(), {}, 'and leaves no trace of it')
    const writing = Promise.all([store.setMeta({ a: '1' }), store.setMeta({ b: '2' })])
    await store.close()
    await writing
    await t.rejects(store.getMeta())
    await t.rejects(store.checkWritable())
  })
}
