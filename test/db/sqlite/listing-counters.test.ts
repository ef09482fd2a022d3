/** What is kept for the dashboard, after any changes, against full counts of what it is kept from. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Store } from '../../../db/store.ts'
import { createSeededRandom } from '../../chaos/random.ts'
import type { SeededRandom } from '../../chaos/random.ts'
import { begin, connect, newGrant, newTokens, NOW, purge, sweep } from '../rows.ts'
import { openTemporary } from '../temporary.ts'

const CHANGES = 400
const DAY = 86_400_000

/** What `listing` must hold: each connection for everybody, and for each app that it has a grant of. */
const LISTED = `
  select connections.id as id, coalesce(app_id, '') as app, status, name_key, connected_at,
    coalesce(connections.last_used_at, 0) as used, coalesce(access_token_expires_at, 0) as until
  from connections join (
    select id, null as app_id from connections
    union select connection_id, app_id from grants where revoked_at is null
  ) as listed on listed.id = connections.id`

const KEPT = `
  select connection_id as id, coalesce(app_id, '') as app,
    case status when 0 then 'active' when 1 then 'needs_reconnect' else 'revoked' end as status,
    listing.name as name_key, connected_at, last_used_at as used, access_token_expires_at as until
  from listing join listing_names using (n) left join listing_apps on listing_apps.n = listing.app`

const COUNTED = `select app, status, count(*) as rows from listing group by app, status`
const COUNTERS = `select app, status, rows from listing_totals where rows <> 0`

t.test('list and totals equal full counts, after any changes', async (t) => {
  const { store, directory } = await openTemporary(t)
  const client = new Database(join(directory, 'broker.db'))
  t.teardown(() => client.close())
  const all = (query: string) => client.prepare(`${query} order by 1, 2, 3`).all()

  const seed = Math.floor(Math.random() * 2 ** 32)
  const changes = changesOf(store, createSeededRandom(seed))
  const dice = createSeededRandom(seed + 1)
  const seen = new Set<string>()
  for (let done = 1; done <= CHANGES; done++) {
    // More comes than goes.
    const name = dice.pick([...Object.keys(changes), 'connect', 'begin', 'begin'])
    await changes[name]?.()
    seen.add(name)
    if (done % 20 !== 0) continue
    const where = `seed ${seed}, after ${done} changes`
    t.strictSame(all(KEPT), all(LISTED), `the listing; ${where}`)
    t.strictSame(all(COUNTERS), all(COUNTED), `the totals; ${where}`)
    client
      .prepare("insert into listing_grams (listing_grams, rank) values ('integrity-check', 1)")
      .run()
  }
  t.ok(client.prepare(LISTED).all().length > 3, 'there is something to count')
  t.strictSame(seen, new Set(Object.keys(changes)), 'there was every kind of change')
})

/** Ways to change what is listed, each to somebody at random. */
function changesOf(store: Store, dice: SeededRandom): Record<string, () => Promise<unknown>> {
  let [made, now] = [0, NOW]
  const soon = () => (now += dice.between(1, DAY / 8))
  const connectionId = () => `c${dice.between(0, Math.max(made - 1, 0))}`
  const appId = () => dice.pick(['app', 'other', 'third'])
  const name = () => dice.pick(['Anna', 'anna', 'Joanna', 'Élodie', '"', 'bo'])
  const grantId = async () => {
    const grants = await store.listGrants(connectionId())
    return grants.length === 0 ? 'none' : dice.pick(grants).id
  }
  const save = (id: string, expectedGeneration: number | null) =>
    connect(store, id, {
      expectedGeneration,
      username: name(),
      now: soon(),
      tokens: { ...newTokens(id), accessTokenExpiresAt: now + 3_600_000 },
    })
  return {
    connect: () => save(`c${made++}`, null),
    async renew() {
      const id = connectionId()
      return save(id, (await store.getConnection(id))?.generation ?? 0)
    },
    async begin() {
      const id = connectionId()
      const connection = await store.getConnection(id)
      if (!connection || connection.status === 'revoked') return
      const expiresAtSeconds = Math.floor(soon() / 1000) + dice.between(1, 5) * 86_400
      const grant = { connectionId: id, appId: appId(), createdAt: now, expiresAtSeconds }
      await begin(store, newGrant(`g${now}`, grant))
    },
    async use() {
      const grants = [{ id: await grantId(), lastUsedAt: soon() }]
      await store.recordUse({ grants, counts: [] })
    },
    async fail() {
      const id = connectionId()
      const status = dice.pick(['active', 'needs_reconnect'] as const)
      const { generation: expectedGeneration = 0 } = (await store.getConnection(id)) ?? {}
      const failure = {
        lastError: 'it failed',
        retryAt: soon(),
        dropPrevious: false,
        isRejection: true,
        events: [],
      }
      await store.saveFailure({ id, expectedGeneration, owner: 'me', status, ...failure })
    },
    async revokeGrant() {
      await store.revokeGrants({ id: await grantId(), now: soon(), events: [] })
    },
    revokeApp: () =>
      store.revokeGrants({
        connectionId: connectionId(),
        appId: appId(),
        now: soon(),
        events: [],
      }),
    revoke: () => store.revokeConnection({ id: connectionId(), now: soon(), events: [] }),
    erase: () =>
      store.revokeConnection({ erasePerson: true, id: connectionId(), now: soon(), events: [] }),
    async sweep() {
      await purge(store, soon())
      await sweep(store, { now, keepUsedMs: 0, endedBefore: now - DAY, eventsBefore: 0 })
    },
  }
}
