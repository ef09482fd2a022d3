import t from 'tap'
import type { Test } from 'tap'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPool, type Pool } from '../../../db/postgres/pool.ts'
import { createPostgresStore } from '../../../db/postgres/store.ts'
import type { Store } from '../../../db/store.ts'
import { noPostgres } from '../../postgres.ts'
import { size } from '../../size.ts'
import { connect, event, newApp, newGrant, newSigningKey, newTokens, NOW, seal } from '../rows.ts'
import { openAt, openTemporary } from './temporary.ts'

const everything = {
  actions: ['grant.revoked' as const],
  appId: null,
  connectionId: null,
  limit: 100,
}
const REVOCATIONS = size(100, 1000)
const EVENTS_OF_WRITER = size(100, 1000)

/** A store with a connection `con` and grants `g0`, …. */
async function open(t: Test, grants: number): Promise<{ store: Store; url: string }> {
  const { store, url } = await openTemporary(t)
  await store.replaceSigningKeys([], [newSigningKey('kid')], [])
  await store.addApp(newApp('app'), [])
  await connect(store)
  for (let n = 0; n < grants; n++)
    await store.addGrant(newGrant(`g${n}`), { source: null, now: NOW, events: [] })
  return { store, url }
}

/** A store of the database, which counts its statements. */
function openCounting(t: Test, url: string) {
  const pool = createPool(createClientClass([url]))
  t.teardown(() => pool.close())
  let statements = 0
  const counting =
    (run: Pool['read']): Pool['read'] =>
    (work) =>
      run((execute) =>
        work((statement) => {
          statements++
          return execute(statement)
        }),
      )
  const store = createPostgresStore({
    ...pool,
    read: counting(pool.read),
    write: counting(pool.write),
  })
  const count = async (call: () => Promise<unknown>): Promise<number> => {
    statements = 0
    await call()
    return statements
  }
  return { store, count }
}

t.test('what holds between brokers', { skip: noPostgres }, async (t) => {
  t.test('a revocation holds in another broker once it is answered', async (t) => {
    const { store, url } = await open(t, REVOCATIONS)
    const other = await openAt(url)
    t.teardown(() => other.close())
    const stateOf = (n: number) => other.getSwapState({ grantId: `g${n}`, kid: 'kid' })
    let isReading = true
    // Batches of other reads are on their way all the time.
    const read = async () => {
      while (isReading) await stateOf(REVOCATIONS - 1)
    }
    const readers = Array.from({ length: 20 }, read)
    let [late, early] = [0, 0]
    for (let n = 0; n < REVOCATIONS; n++) {
      if ((await stateOf(n))?.grant.revokedAt !== null) early++
      await store.revokeGrants({ id: `g${n}`, now: NOW, events: [] })
      if ((await stateOf(n))?.grant.revokedAt !== NOW) late++
    }
    isReading = false
    await Promise.all(readers)
    t.strictSame({ late, early }, { late: 0, early: 0 })
  })

  t.test('the exchanges of one turn are one statement', async (t) => {
    const { url } = await open(t, 2)
    const { store, count } = openCounting(t, url)
    const exchange = async () => {
      const wanted = Array.from({ length: 1000 }, (_, n) => `g${n % 3}`)
      const states = await Promise.all(
        wanted.map((grantId) => store.getSwapState({ grantId, kid: 'kid' })),
      )
      t.strictSame(
        states.map((state) => state?.grant.id ?? 'g2'),
        wanted,
      )
    }
    t.equal(await count(exchange), 1)
  })

  t.test('a reader of events misses none, whoever else writes', async (t) => {
    const { store, url } = await open(t, 0)
    const writers = await Promise.all([1, 2, 3, 4].map(() => openAt(url)))
    t.teardown(() => Promise.all(writers.map((writer) => writer.close())))
    let isWriting = true
    const writing = writers.map(async (writer, w) => {
      for (let n = 0; n < EVENTS_OF_WRITER; n += 4)
        await Promise.all(
          [0, 1, 2, 3].map((i) =>
            writer.addEvents(event('grant.revoked', { details: `${w} ${n + i}` })),
          ),
        )
    })
    const done = Promise.all(writing).finally(() => (isWriting = false))
    const seen: string[] = []
    let after = 0
    for (let isLast = false; !isLast;) {
      isLast = !isWriting
      for (;;) {
        const page = await store.listPublicEvents({ ...everything, after })
        if (page.events.length === 0) break
        seen.push(...page.events.map(({ details }) => details ?? ''))
        after = page.events.at(-1)?.id ?? after
      }
    }
    await done
    t.equal(seen.length, 4 * EVENTS_OF_WRITER)
    t.equal(new Set(seen).size, 4 * EVENTS_OF_WRITER)
  })

  t.test('a change of client takes few statements, however many connections', async (t) => {
    const { url } = await open(t, 0)
    const { store, count } = openCounting(t, url)
    for (let n = 0; n < 20; n++) await connect(store, `con${n}`)
    const change = { after: null, limit: 30, toOtherApi: true, reason: 'changed' }
    t.equal(await count(() => store.markConnectionsForReconnect(change)), 3)
    const last = await store.getConnection('con19')
    t.match(last, { status: 'needs_reconnect', refreshToken: null, generation: 2 })
  })

  t.test('frequent writes take few statements', async (t) => {
    const { url } = await open(t, 100)
    const { store, count } = openCounting(t, url)
    const grants = Array.from({ length: 100 }, (_, n) => ({ id: `g${n}`, lastUsedAt: NOW }))
    const counts = ['a', 'b', 'c'].map((appId) => ({
      ...{ appId, hour: NOW, kind: 'swap' as const, outcome: 'ok', count: 1 },
    }))
    const times = { issuedAtSeconds: 5, expiresAtSeconds: 9, successorsSinceSeconds: 3 }
    const jti = 'jti of g0'
    const lease = { id: 'con', owner: 'me', forMs: 9, maxLeaseMs: 9, deadOwner: null }
    const writes: Record<string, [statements: number, call: () => Promise<unknown>]> = {
      takeLease: [3, () => store.takeLease({ ...lease, expectedGeneration: 1 })],
      saveTokens: [
        7,
        () =>
          store.saveTokens({
            ...{ id: 'con', expectedGeneration: 1, owner: 'me', tokens: newTokens('new') },
            ...{ previousRefreshToken: seal('before'), now: NOW, events: event('refreshed') },
          }),
      ],
      useJti: [1, () => store.useJti({ grantId: 'g0', expectedJti: jti, jti, now: NOW })],
      renewGrant: [
        1,
        () =>
          store.renewGrant({
            grantId: 'g0',
            expectedJti: jti,
            previousJti: jti,
            jti: 'j',
            ...times,
          }),
      ],
      recordUse: [3, () => store.recordUse({ grants, counts })],
      saveConnection: [5, () => connect(store, 'other')],
    }
    // Besides `begin` with its lock, and `commit`.
    for (const [name, [statements, call]] of Object.entries(writes))
      t.equal(await count(call), statements, name)
  })
})
