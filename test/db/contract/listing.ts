import type { Test } from 'tap'
import type { ConnectionQuery, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { begin, connect, newGrant, newTokens, NOW, purge, sweep } from '../rows.ts'
import { repeat } from './race.ts'

export const everybody: ConnectionQuery = {
  search: null,
  statuses: ['active', 'needs_reconnect', 'revoked'],
  appId: null,
  sort: 'user',
  descending: false,
  cursor: null,
  limit: 10,
}

const MINUTE = 60_000

/** Whom a query finds, by their ids of one letter. */
const find = async (store: Store, query: Partial<ConnectionQuery> = {}): Promise<string> => {
  const { rows } = await store.browseConnections({ ...everybody, ...query })
  return rows.map(({ id }) => id).join('')
}

const fail = (store: Store, id: string, expectedGeneration: number) =>
  store.saveFailure({
    id,
    expectedGeneration,
    owner: 'me',
    status: 'needs_reconnect',
    lastError: 'refused',
    retryAt: null,
    dropPrevious: false,
    isRejection: true,
    events: [],
  })

/** Five people; `d` and `e` never used it, `c` is in need of reconnecting, `e` is revoked. */
export async function openWithPeople(t: Test, open: OpenStore): Promise<Store> {
  const store = await open(t)
  const people: Record<string, string> = {
    a: 'Élodie',
    b: 'bo',
    c: 'Joanna',
    d: 'Anna',
    e: 'hannah',
  }
  for (const [index, [id, username]] of Object.entries(people).entries()) {
    await connect(store, id, { username, now: NOW + index })
  }
  for (const id of ['a', 'b', 'c']) {
    await begin(store, newGrant(`first of ${id}`, { connectionId: id }))
  }
  await begin(store, newGrant('second of b', { connectionId: 'b', appId: 'other' }))
  for (const [index, [id, username]] of Object.entries(people).entries()) {
    const { generation } = (await store.getConnection(id)) ?? { generation: null }
    const tokens = { ...newTokens(id), accessTokenExpiresAt: NOW + ((index * 2) % 5) * MINUTE }
    await connect(store, id, { expectedGeneration: generation, username, tokens })
  }
  const used = [5, 9, 7].map((minutes, index) => ({
    id: `first of ${'abc'[index]}`,
    lastUsedAt: NOW + minutes * MINUTE,
  }))
  await store.recordUse({ grants: used, counts: [] })
  await fail(store, 'c', 3)
  await store.revokeConnection({ id: 'e', now: NOW, events: [] })
  return store
}

export function testListing(t: Test, open: OpenStore): void {
  t.test('connections are sorted by each column, in both directions', async (t) => {
    const store = await openWithPeople(t, open)
    for (const [sort, order] of [
      ['user', 'dbaec'],
      ['connected', 'abcde'],
      ['used', 'deacb'],
      ['expiry', 'eadbc'],
    ] as const) {
      const ascending = await find(store, { sort })
      t.equal(ascending, order, sort)
      const descending = await find(store, { sort, descending: true })
      t.equal(descending, [...order].reverse().join(''), `${sort}, descending`)
    }
  })

  t.test('connections are filtered by status and app, with totals', async (t) => {
    const store = await openWithPeople(t, open)
    t.equal(await find(store, { statuses: ['active'] }), 'dba')
    t.equal(await find(store, { statuses: ['needs_reconnect', 'revoked'] }), 'ec')
    t.equal(await find(store, { statuses: [] }), '')
    t.equal(await find(store, { appId: 'app' }), 'bac')
    t.equal(await find(store, { appId: 'app', statuses: ['needs_reconnect'] }), 'c')
    t.equal(await find(store, { appId: 'none' }), '')
    t.strictSame(await store.countConnections(), { active: 3, needs_reconnect: 1, revoked: 1 })
    t.strictSame(await store.countConnections('app'), { active: 2, needs_reconnect: 1, revoked: 0 })
    t.strictSame(await store.countConnections('x'), { active: 0, needs_reconnect: 0, revoked: 0 })
    const { total } = await store.browseConnections({ ...everybody, limit: 1, appId: 'app' })
    t.equal(total, 3)

    await begin(store, newGrant('third of b', { connectionId: 'b' }))
    await store.revokeGrants({ id: 'first of b', now: NOW, events: [] })
    t.equal(await find(store, { appId: 'app' }), 'bac', 'another device is left')
    const revoked = { connectionId: 'b', appId: 'app', now: NOW, events: [] }
    await store.revokeGrants(revoked)
    t.equal(await find(store, { appId: 'app' }), 'ac')
    t.equal(await find(store, { appId: 'other' }), 'b')
  })

  t.test('a row has what a list shows of a connection', async (t) => {
    const store = await openWithPeople(t, open)
    await begin(store, newGrant('longer', { connectionId: 'b', expiresAtSeconds: NOW }))
    const { rows } = await store.browseConnections({ ...everybody, search: 'bo' })
    const endsAt = NOW + 2_592_000_000
    t.strictSame(rows, [
      {
        id: 'b',
        accountId: 'account of b',
        username: 'bo',
        status: 'active',
        accessTokenExpiresAt: NOW + 3_600_000,
        failures: 0,
        lastError: null,
        retryAt: null,
        connectedAt: NOW + 1,
        refreshedAt: NOW,
        lastUsedAt: NOW + 9 * MINUTE,
        revokedAt: null,
        erasedAt: null,
        personErasedAt: null,
        apps: [
          { id: 'app', endsAt: NOW * 1000 },
          { id: 'other', endsAt },
        ],
      },
    ])
  })

  t.test('names are found as people type them', async (t) => {
    const store = await open(t)
    const people = { a: 'Łukasz', b: 'Hauptstraße 3', c: 'Sinéad O’Connor', d: '李明', e: '王小明' }
    for (const [id, username] of Object.entries(people)) await connect(store, id, { username })
    for (const [search, found] of [
      ['lukasz', 'a'],
      ['ŁUKASZ', 'a'],
      ['strasse', 'b'],
      ["o'connor", 'c'],
      ['sinead o', 'c'],
      ['李明', 'd'],
      ['小明', 'e'],
    ] as const) {
      t.equal(await find(store, { search }), found, search)
    }
  })

  t.test('names are found by any of their letters', async (t) => {
    const store = await openWithPeople(t, open)
    const search = (text: string, query: Partial<ConnectionQuery> = {}) =>
      find(store, { search: text, ...query })
    t.equal(await search('b'), 'b')
    t.equal(await search('elo'), 'a', 'without its accent')
    t.equal(await search('É'), 'a')
    t.equal(await search('ANN'), 'dec')
    t.equal(await search('  ann '), 'dec')
    t.equal(await search('ann', { statuses: ['active'] }), 'd')
    t.equal(await search('ann', { appId: 'app' }), 'c')
    t.equal(await search('ann', { sort: 'connected', descending: true, limit: 2 }), 'ed')
    t.equal(await search('an'), 'dec')
    t.equal(await search('nn'), 'dec', 'two letters anywhere')
    t.equal(await search('h'), 'e', 'one letter')
    t.equal(await search('an', { limit: 1, sort: 'connected' }), 'c')
    t.equal(await search('nobody'), '')
    t.equal(await search('"'), '')
    t.equal(await search('%%%'), '')
    t.equal(await search('\u200b'), '', 'nothing that can be seen')
    t.equal(await search('a', { search: '' }), '')
  })

  t.test('names of one and two characters are found, as people type them', async (t) => {
    const store = await open(t)
    const names = [
      '王小明',
      '小明',
      '李',
      'Bo',
      'Łu',
      'Straße',
      'O’Brien',
      'Ærø',
      'علی\u200cرضا',
      'Ω',
    ]
    for (const [n, username] of names.entries()) await connect(store, `c${n}`, { username })
    const search = async (text: string) => {
      const { rows } = await store.browseConnections({ ...everybody, search: text })
      return rows.map(({ username }) => username).sort()
    }
    for (const [text, ...found] of [
      ['小明', '小明', '王小明'],
      ['明', '小明', '王小明'],
      ['李', '李'],
      ['bo', 'Bo'],
      ['LU', 'Łu'],
      ['ss', 'Straße'],
      ['STRASSE', 'Straße'],
      ['ß', 'Straße'],
      ["o'brien", 'O’Brien'],
      ['obr', 'O’Brien'],
      ['aero', 'Ærø'],
      ['ø', 'Bo', 'O’Brien', 'Ærø'],
      ['علیرضا', 'علی\u200cرضا'],
      ['ω', 'Ω'],
    ]) {
      t.strictSame(await search(text ?? ''), found.sort(), text ?? '')
    }
  })

  t.test('usernames are read at once', async (t) => {
    const store = await openWithPeople(t, open)
    const names = await store.getUsernames(['a', 'b', 'b', 'none'])
    t.strictSame([...names].sort(), [
      ['a', 'Élodie'],
      ['b', 'bo'],
    ])
    t.equal((await store.getUsernames([])).size, 0)
    t.strictSame(
      [...(await store.countConnectionsByApp())].sort(),
      await Promise.all(['app', 'other'].map(async (id) => [id, await store.countConnections(id)])),
    )
  })

  t.test('a whole id finds its connection', async (t) => {
    const store = await openWithPeople(t, open)
    for (const text of ['c', 'account of c', 'first of c', ' account of c ']) {
      t.equal(await find(store, { search: text }), 'c', text)
    }
    t.equal(await find(store, { search: 'account of e' }), 'e', 'revoked ones too')
    t.equal(await find(store, { search: 'account of e', statuses: ['active'] }), '')
    t.equal(await find(store, { search: 'account of' }), '', 'only whole ones')
  })

  t.test('a renamed connection is found by its new name', async (t) => {
    const store = await openWithPeople(t, open)
    const renewal = { expectedGeneration: 2, accountId: 'account of d', username: 'Dorothea' }
    await connect(store, 'd', renewal)
    t.equal(await find(store, { search: 'anna' }), 'ec')
    t.equal(await find(store, { search: 'thea' }), 'd')
    await store.revokeConnection({ erasePerson: true, id: 'd', now: NOW, events: [] })
    t.equal(await find(store, { search: 'thea' }), '')
    t.equal(await find(store, { search: 'account of d' }), '')
    await purge(store, NOW)
    const bounds = { now: NOW, keepUsedMs: 0, endedBefore: NOW + 1, eventsBefore: 0 }
    await sweep(store, bounds)
    t.equal(await find(store), 'bac', 'what is swept is listed no more')
    t.strictSame(await store.countConnections(), { active: 2, needs_reconnect: 1, revoked: 0 })
    t.equal(await find(store, { search: 'hannah' }), '')
  })

  t.test('pages work in both directions', async (t) => {
    const store = await openWithPeople(t, open)
    const page = (cursor: string | null, query: Partial<ConnectionQuery> = {}) =>
      store.browseConnections({ ...everybody, limit: 2, sort: 'connected', ...query, cursor })
    const ids = ({ rows }: Awaited<ReturnType<typeof page>>) => rows.map(({ id }) => id).join('')
    for (const query of [{}, { search: 'account of a' }]) {
      const first = await page(null, query)
      t.equal(first.previous, null)
    }
    const first = await page(null)
    const second = await page(first.next)
    const third = await page(second.next)
    t.strictSame([first, second, third].map(ids), ['ab', 'cd', 'e'])
    t.equal(third.next, null)
    const back = await page(third.previous)
    t.equal(ids(back), 'cd')
    const start = await page(back.previous)
    t.strictSame([ids(start), start.previous, start.total], ['ab', null, 5])
    t.equal(ids(await page(start.next)), 'cd')

    const down = await page(null, { descending: true })
    const lower = await page(down.next, { descending: true })
    t.strictSame([ids(down), ids(lower)], ['ed', 'cb'])
    t.equal(ids(await page(lower.previous, { descending: true })), 'ed')

    const named = { search: 'ann', sort: 'user' } as const
    const found = await page(null, named)
    t.strictSame([ids(found), found.total, found.crowded], ['de', 3, false])
    const last = await page(found.next, named)
    t.strictSame([ids(last), last.total, last.next], ['c', 3, null])
    t.equal(ids(await page(last.previous, named)), 'de')
    const [, end] = JSON.parse(Buffer.from(last.previous ?? '', 'base64url').toString()) as number[]
    const beyond = Buffer.from(JSON.stringify([0, end, 'zz'])).toString('base64url')
    t.match(await page(beyond, named), { rows: [], total: 3 }, 'the total is known without rows')
    const everyone = await page(beyond, { sort: 'user' })
    t.match(everyone, { rows: [], total: 5, next: null })
  })

  t.test('pages stay consistent while rows are added, moved and deleted', async (t) => {
    const store = await openWithPeople(t, open)
    const page = (cursor: string | null) =>
      store.browseConnections({ ...everybody, limit: 2, sort: 'connected', cursor })
    const first = await page(null)
    await connect(store, 'z', { now: NOW - 5 })
    const second = await page(first.next)
    t.strictSame(
      second.rows.map(({ id }) => id),
      ['c', 'd'],
      'a row added before the cursor shifts nothing',
    )
    const before = await page(second.previous)
    t.strictSame(
      before.rows.map(({ id }) => id),
      ['a', 'b'],
    )
    t.type(before.previous, 'string', 'the new one is on a page before')
    await purge(store, NOW)
    await sweep(store, { now: NOW, keepUsedMs: 0, endedBefore: NOW + 1, eventsBefore: 0 })
    const end = await page(second.next)
    t.strictSame(end.rows, [], 'the last page’s only row went')
    t.equal((await page(end.previous)).rows.map(({ id }) => id).join(''), 'cd')
    for (const id of ['z', 'a', 'b']) await store.revokeConnection({ id, now: NOW, events: [] })
    await purge(store, NOW)
    await sweep(store, { now: NOW, keepUsedMs: 0, endedBefore: NOW + 1, eventsBefore: 0 })
    const nowFirst = await page(second.previous)
    t.match(nowFirst, { previous: null }, 'what came before is gone: now this is the first')
    t.equal(nowFirst.rows.map(({ id }) => id).join(''), 'cd')
  })

  t.test('an invalid cursor gives the first page', async (t) => {
    const store = await openWithPeople(t, open)
    const written = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const places = ['', '%', written(null), written([1]), written([0, 'x', 1]), written([0, 1, {}])]
    for (const cursor of places) t.equal(await find(store, { cursor }), 'dbaec', cursor)
  })

  t.test('a cursor of another order gives the first page', async (t) => {
    const store = await openWithPeople(t, open)
    const next = async (query: Partial<ConnectionQuery>) =>
      (await store.browseConnections({ ...everybody, limit: 1, ...query })).next
    const [byName, byTime] = [await next({}), await next({ sort: 'connected' })]
    t.equal(await find(store, { cursor: byTime }), 'dbaec')
    t.equal(await find(store, { cursor: byName, sort: 'connected' }), 'abcde')
  })

  t.test('of more than a thousand hits some are given, and the whole name is found', async (t) => {
    const store = await open(t)
    await connect(store, 'anton', { username: 'anton', accountId: null })
    await repeat(1001, (n) =>
      connect(store, `c${n}`, { username: `zz anton ${n}`, accountId: null }),
    )
    for (const search of ['anton', 'zz']) {
      const found = await store.browseConnections({ ...everybody, search })
      t.match(found, { crowded: true, partial: false, total: 1000 }, search)
      t.equal(found.rows.length, 10)
    }
    const { rows } = await store.browseConnections({ ...everybody, search: 'anton' })
    t.equal(rows[0]?.username, 'anton')
  })

  t.test('a connection’s last use is that of its latest used grant, to the minute', async (t) => {
    const store = await openWithPeople(t, open)
    const use = async (id: string, lastUsedAt: number) => {
      await store.recordUse({ grants: [{ id, lastUsedAt }], counts: [] })
      return (await store.getConnection('b'))?.lastUsedAt
    }
    const before = NOW + 9 * MINUTE
    t.equal(await use('second of b', before + MINUTE - 1), before)
    t.equal(await use('second of b', before + MINUTE), before + MINUTE)
    t.equal(await use('first of b', before), before + MINUTE)
    t.equal(await use('nobody’s', before + 9 * MINUTE), before + MINUTE)
  })
}
