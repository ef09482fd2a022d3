import type { Test } from 'tap'
import type { EventFilter, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { event, NOW } from '../rows.ts'

const everything: EventFilter = {
  actor: null,
  action: null,
  appId: null,
  connectionId: null,
  from: null,
  to: null,
}

export function testEvents(t: Test, open: OpenStore): void {
  t.test('events are listed newest first, a page at a time', async (t) => {
    const store = await open(t)
    await store.addEvents([])
    const full = { connectionId: 'c1', appId: 'a1', grantId: 'g', address: '::1', details: 'words' }
    await store.addEvents([...event('first', full), ...event('second', { connectionId: 'c2' })])
    await store.addEvents(event('third', { appId: 'a1' }))
    const list = async (limit: number, filter: Partial<EventFilter> = {}, cursor?: string) =>
      store.listEvents({ limit, filter, ...(cursor !== undefined && { cursor }) })
    const { rows: all } = await list(10)
    t.strictSame(
      all.map(({ action }) => action),
      ['third', 'second', 'first'],
    )
    const [, second, first] = all
    t.strictSame(first, { id: first?.id, sequence: null, ...event('first', full)[0] })
    t.match(second, { appId: null, grantId: null, address: null, details: null })
    const { older } = await list(2)
    t.strictSame((await list(1, {}, older ?? '')).rows, [first])
    t.strictSame((await list(9, { connectionId: 'c2' })).rows, [second])
    t.strictSame((await list(9, { appId: 'a1', connectionId: 'c1' })).rows, [first])
  })

  t.test('pages work in both directions while events are added', async (t) => {
    const store = await open(t)
    // Two of a time, and one whose clock was behind.
    for (const [index, at] of [0, 1, 1, 2, 3, 1].entries()) {
      await store.addEvents(event(`e${index}`, { at: NOW + at }))
    }
    const page = (cursor: string | null) =>
      store.listEvents({ filter: everything, cursor, limit: 2 })
    const names = ({ rows }: Awaited<ReturnType<typeof page>>) =>
      rows.map(({ action }) => action).join(' ')

    const first = await page(null)
    t.equal(names(first), 'e4 e3')
    t.equal(first.newer, null)
    t.equal(first.searchedTo, null)
    const second = await page(first.older)
    t.equal(names(second), 'e5 e2')
    const third = await page(second.older)
    t.equal(names(third), 'e1 e0')
    t.equal(third.older, null)
    await store.addEvents(event('new', { at: NOW + 9 }))
    const back = await page(third.newer)
    t.equal(names(back), 'e5 e2')
    t.equal(names(await page(back.newer)), 'e4 e3')
    const newest = await page((await page(back.newer)).newer)
    t.equal(names(newest), 'new')
    t.equal(newest.newer, null)
    for (const nonsense of ['x', 'W10', 'WzAsMSwiYSJd', 'eyJhIjoxfQ']) {
      t.equal(names(await page(nonsense)), 'new e4')
    }
  })

  t.test(
    'events are filtered by actor, action, app, connection and time, in any combination',
    async (t) => {
      const store = await open(t)
      const ann = 'admin:ann@example.com'
      await store.addEvents([
        { at: NOW, actor: 'user', action: 'connection.connected', connectionId: 'c1', appId: 'a1' },
        { at: NOW + 1, actor: 'app', action: 'grant.begun', connectionId: 'c1', appId: 'a1' },
        { at: NOW + 2, actor: ann, action: 'connection.revoked', connectionId: 'c1' },
        { at: NOW + 3, actor: ann, action: 'app.removed', appId: 'a1' },
        { at: NOW + 4, actor: 'system', action: 'grant.revoked', connectionId: 'c2', appId: 'a2' },
        { at: NOW + 5, actor: 'cli', action: 'grant.revoked', connectionId: 'c2', appId: 'a1' },
      ])
      const times = async (filter: Partial<EventFilter>) => {
        const query = { filter: { ...everything, ...filter }, cursor: null, limit: 9 }
        const { rows } = await store.listEvents(query)
        return rows.map(({ at }) => at - NOW).join('')
      }
      t.equal(await times({}), '543210')
      t.equal(await times({ actor: ann }), '32')
      t.equal(await times({ actor: 'user' }), '0')
      t.equal(await times({ action: 'grant.revoked' }), '54')
      t.equal(await times({ action: 'grant.begun' }), '1')
      t.equal(await times({ appId: 'a1' }), '5310')
      t.equal(await times({ connectionId: 'c1' }), '210')
      t.equal(await times({ from: NOW + 2 }), '5432')
      t.equal(await times({ to: NOW + 2 }), '10')
      t.equal(await times({ from: NOW + 1, to: NOW + 4, actor: ann, appId: 'a1' }), '3')
      t.equal(await times({ actor: 'cli', action: 'grant.revoked', connectionId: 'c2' }), '5')
      t.equal(await times({ actor: 'app', action: 'grant.begun', connectionId: 'c1' }), '1')
      t.equal(await times({ actor: 'app', action: 'grant.begun', appId: 'a2' }), '')
      t.equal(await times({ actor: 'app', action: 'connection.revoked' }), '')
      t.equal(await times({ actor: "x' or 1 --" }), '')
    },
  )

  t.test('a search with few matches stops, and continues on the next page', async (t) => {
    const store = await open(t)
    await fill(store, 41_000)
    const filter = { ...everything, actor: 'user', action: 'grant.begun' }
    const first = await store.listEvents({ filter, cursor: null, limit: 5 })
    t.equal(first.rows.length, 1, 'the newest')
    t.ok(first.searchedTo !== null && first.searchedTo > NOW)
    const rest = await store.listEvents({ filter, cursor: first.older, limit: 5 })
    t.equal(rest.rows[0]?.at, NOW, 'the oldest')
    t.match(rest, { searchedTo: null, older: null })
    const back = await store.listEvents({ filter, cursor: rest.newer, limit: 5 })
    t.strictSame(back.rows, [])
    t.ok(back.newer)
    const again = await store.listEvents({ filter, cursor: back.newer, limit: 5 })
    t.equal(again.rows[0]?.at, NOW + 41_000 - 1)
  })
}

/** Many of an app's own, between two of a user's. */
async function fill(store: Store, count: number): Promise<void> {
  const all = Array.from({ length: count }, (_, index) => {
    const actor = index === 0 || index === count - 1 ? 'user' : 'app'
    return { at: NOW + index, actor, action: 'grant.begun' }
  })
  for (let from = 0; from < count; from += 1000) await store.addEvents(all.slice(from, from + 1000))
}
