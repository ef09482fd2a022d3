import type { Test } from 'tap'
import type { Link } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { actions, begin, connect, event, newApp, newGrant, NOW, removeApp, sweep } from '../rows.ts'

const DAY = 86_400_000

export const newLink = (id: string, fields: Partial<Link> = {}): Link => ({
  id,
  secretHash: `hash of ${id}`,
  grantId: 'grant',
  path: '/path/7/{z}',
  isPrefix: false,
  label: `Label of ${id}`,
  createdAt: NOW,
  expiresAt: NOW + DAY,
  lastUsedAt: null,
  uses: 0,
  ...fields,
})

export function testLinks(t: Test, open: OpenStore): void {
  const fill = async (t: Test) => {
    const store = await open(t)
    await store.addApp(newApp('app', { readOnly: true, allow: ['GET /path/**'] }), [])
    await connect(store)
    await begin(store, newGrant('grant'))
    return store
  }
  const add = (store: Awaited<ReturnType<typeof open>>, link: Link, max = 10) =>
    store.addLink(link, { max, events: event(`added ${link.id}`) })
  const events = async (store: Awaited<ReturnType<typeof open>>) =>
    (await actions(store)).filter((action) => /added|deleted/.test(action))

  t.test('a link is added, listed with its app and connection, and deleted', async (t) => {
    const store = await fill(t)
    await begin(store, newGrant('other', { appId: 'other' }))
    t.equal(await add(store, newLink('a')), 'added')
    t.equal(await add(store, newLink('b', { createdAt: NOW + 1, isPrefix: true })), 'added')
    t.equal(await add(store, newLink('c', { grantId: 'other' })), 'added')
    const { secretHash, ...a } = newLink('a')
    const listed = { ...a, appId: 'app', connectionId: 'con' }
    t.strictSame(await store.getLink('a'), listed)
    const ids = async (filter: object) =>
      (await store.listLinks({ connectionId: 'con', now: NOW, ...filter })).map(({ id }) => id)
    t.strictSame(await ids({}), ['b', 'c', 'a'])
    t.strictSame(await ids({ appId: 'app' }), ['b', 'a'])
    t.strictSame(await ids({ connectionId: 'none' }), [])
    t.strictSame(await ids({ now: NOW + DAY }), [])

    t.equal(await store.deleteLink('a', event('deleted a')), true)
    t.equal(await store.deleteLink('a', event('deleted a')), false)
    t.equal(await store.getLink('a'), undefined)
    t.equal(await store.getLinkState(secretHash), undefined)
    t.strictSame(await events(store), ['added a', 'added b', 'added c', 'deleted a'])
  })

  t.test('an app has at most so many links on a connection, from all its grants', async (t) => {
    const store = await fill(t)
    await begin(store, newGrant('second'))
    await begin(store, newGrant('other', { appId: 'other' }))
    t.equal(await add(store, newLink('a', { expiresAt: NOW + 5 }), 2), 'added')
    t.equal(await add(store, newLink('b', { grantId: 'second' }), 2), 'added')
    t.equal(await add(store, newLink('c'), 2), 'full')
    t.equal(await add(store, newLink('d', { grantId: 'other' }), 2), 'added')
    t.equal(await add(store, newLink('e', { createdAt: NOW + 5 }), 2), 'added', 'one has expired')
    t.equal(await add(store, newLink('f', { grantId: 'none' })), 'ended')
    await store.revokeGrants({ id: 'second', now: NOW, events: [] })
    t.equal(await add(store, newLink('g', { grantId: 'second' })), 'ended')
    const later = newLink('h', { createdAt: NOW + 5 })
    t.equal(await add(store, later, 2), 'added', 'one is of a revoked grant')
    t.equal(await add(store, newLink('i', { createdAt: NOW + 5 }), 2), 'full')
    t.strictSame(await events(store), ['added a', 'added b', 'added d', 'added e', 'added h'])
  })

  t.test('links of ended grants are not listed and not counted', async (t) => {
    const store = await fill(t)
    const [expiresAtSeconds, createdAt] = [NOW / 1000 + 60, NOW + 60_000]
    await begin(store, newGrant('revoked'))
    await begin(store, newGrant('expired', { expiresAtSeconds }))
    await add(store, newLink('a', { grantId: 'revoked' }))
    await add(store, newLink('b', { grantId: 'expired' }))
    await add(store, newLink('c'))
    await store.revokeGrants({ id: 'revoked', now: NOW, events: [] })
    const list = async (now: number) =>
      (await store.listLinks({ connectionId: 'con', now })).map(({ id }) => id)
    t.strictSame(await list(createdAt - 1), ['c', 'b'])
    t.strictSame(await list(createdAt), ['c'])
    t.equal(await add(store, newLink('d', { createdAt: createdAt - 1 }), 2), 'full')
    t.equal(await add(store, newLink('d', { createdAt }), 2), 'added')
  })

  t.test('a request with a link reads link, grant, app and connection as they are', async (t) => {
    const store = await fill(t)
    const policy = { access: 'proxy' as const, readOnly: false, allow: ['GET /account'] }
    await begin(store, newGrant('narrow', { policy }))
    await add(store, newLink('a', { grantId: 'narrow', isPrefix: true }))
    const read = () => store.getLinkState('hash of a')
    const state = {
      link: { id: 'a', path: '/path/7/{z}', isPrefix: true, expiresAt: NOW + DAY },
      grant: { id: 'narrow', appId: 'app', connectionId: 'con', policy, revokedAt: null },
      app: { id: 'app', access: 'token', readOnly: true, allow: ['GET /path/**'] },
      connection: { id: 'con', status: 'active' },
    }
    t.match(await read(), state)
    t.equal(await store.getLinkState('hash of b'), undefined)
    await store.revokeGrants({ id: 'narrow', now: NOW + 1, events: [] })
    t.match(await read(), { ...state, grant: { revokedAt: NOW + 1 } })
    await store.revokeConnection({ id: 'con', now: NOW + 2, events: [] })
    await removeApp(store, 'app', [])
    t.match(await read(), { app: null, connection: { status: 'revoked' } })
  })

  t.test('uses are added up, and the last one is kept', async (t) => {
    const store = await fill(t)
    await add(store, newLink('a'))
    const use = (lastUsedAt: number, uses: number) => ({ id: 'a', lastUsedAt, uses })
    await store.recordUse({ grants: [], counts: [], links: [use(NOW + 5, 3)] })
    await store.recordUse({
      grants: [],
      counts: [],
      links: [use(NOW + 1, 4), { ...use(1, 1), id: 'x' }],
    })
    t.match(await store.getLink('a'), { lastUsedAt: NOW + 5, uses: 7 })
  })

  t.test('a sweep deletes expired links, and links of old grants before these', async (t) => {
    const store = await fill(t)
    await begin(store, newGrant('old'))
    await add(store, newLink('expired', { expiresAt: NOW }))
    await add(store, newLink('live'))
    for (const id of ['x', 'y', 'z']) await add(store, newLink(id, { grantId: 'old' }))
    await store.revokeGrants({ id: 'old', now: NOW, events: [] })
    const bounds = { now: NOW, keepUsedMs: DAY, endedBefore: NOW + 1, eventsBefore: 0 }
    t.match(await store.sweep({ ...bounds, limit: 2 }), { links: 2, grants: 0, more: true })
    t.match(await sweep(store, bounds), { links: 2, grants: 1 })
    t.match(await store.listLinks({ connectionId: 'con', now: 0 }), [{ id: 'live' }])
  })

  t.test('erasing a person deletes the links', async (t) => {
    const store = await fill(t)
    await add(store, newLink('a'))
    await store.revokeConnection({ id: 'con', now: NOW, erasePerson: true, events: [] })
    t.equal(await store.getLink('a'), undefined)
  })
}
