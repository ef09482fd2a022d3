import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { createSigningKeys, PUBLICATION_PERIOD_MS } from '../../server/crypto/signing-keys.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { openTemporary } from '../db/temporary.ts'
import type { Vault } from '../../server/crypto/vault.ts'
import { runtime } from '../../server/runtime.ts'
import { revokeKey } from '../../server/crypto/key-set.ts'
import { addSigningKey, newSigningKey, updateSigningKeys } from '../db/rows.ts'

const DAY_MS = 86_400_000

const kids = async ({ services }: TestBroker) => {
  const keys = (await services.keys.list()).filter(({ alg }) => alg === 'EdDSA')
  const of = (status: string) => keys.filter((key) => key.status === status).map(({ kid }) => kid)
  return { next: of('next'), active: of('active'), retired: of('retired'), revoked: of('revoked') }
}

const published = async (broker: TestBroker): Promise<string[]> =>
  (await broker.services.keys.jwks()).keys
    .filter(({ alg }) => alg === 'EdDSA')
    .map(({ kid }) => kid ?? '')

t.test(
  'a key is published before it signs, and until the tokens that it signed have expired',
  async (t) => {
    const broker = await buildBroker(t)
    const { services, clock } = broker
    const app = await addApp(broker, { tokenLifetimeSeconds: 200 * 86_400 })
    const { brokerToken } = await connect(broker, app)
    const before = await kids(broker)
    t.equal(before.next.length, 1)
    t.ok((await published(broker)).includes(before.next[0] ?? ''))

    await services.keys.maintain()
    t.same(await kids(broker), before, 'nothing is due')
    clock.advance(90 * DAY_MS)
    await Promise.all([services.keys.maintain(), services.keys.maintain()])
    const after = await kids(broker)
    t.same(after.active, before.next)
    t.same(after.retired, before.active)
    t.equal(after.next.length, 1)
    t.equal((await published(broker)).length, 3)
    t.equal((await exchange(broker, brokerToken)).status, 200, 'tokens of the former key are valid')

    clock.advance(90 * DAY_MS)
    await services.keys.maintain()
    t.same((await kids(broker)).retired, [...before.active, ...before.next])
    clock.advance(25 * DAY_MS)
    await services.keys.maintain()
    const late = await published(broker)
    t.notOk(late.includes(before.active[0] ?? ''), 'its last token has expired')
    t.equal(late.length, 3, 'for the second key, there is no record of what it signed')
  },
)

t.test(
  'scheduled rotation waits until the next key has been published for long enough',
  async (t) => {
    const broker = await buildBroker(t)
    const { services, clock } = broker
    clock.advance(90 * DAY_MS)
    const [next = ''] = (await kids(broker)).next
    await services.keys.revoke(next, 'test')
    const { active } = await kids(broker)
    await services.keys.maintain()
    t.same((await kids(broker)).active, active)
    clock.advance(PUBLICATION_PERIOD_MS)
    await services.keys.maintain()
    t.notSame((await kids(broker)).active, active)
  },
)

t.test('a key without an activation date signs for 90 days from its creation', async (t) => {
  const { store } = await openTemporary(t)
  const clock = { ...runtime.clock, now: () => 100 * DAY_MS }
  const vault = { seal: () => Buffer.alloc(40) } as unknown as Vault
  const keys = createSigningKeys({ store, vault, clock, random: randomBytes })
  const old = { privateKey: Buffer.alloc(40) }
  await addSigningKey(store, newSigningKey('old', { ...old, createdAt: 11 * DAY_MS }))
  const next = { ...old, status: 'next', createdAt: 50 * DAY_MS } as const
  await addSigningKey(store, newSigningKey('next', next))
  const signing = async () => (await keys.list()).find(({ status }) => status === 'active')?.kid
  await keys.maintain()
  t.equal(await signing(), 'old')
  clock.now = () => 101 * DAY_MS
  await keys.maintain()
  t.equal(await signing(), 'next')
})

t.test('exactly one of several processes rotates', async (t) => {
  const broker = await buildBroker(t)
  const { store, vault } = broker.services
  const { clock } = broker
  const processes = Array.from({ length: 5 }, () =>
    createSigningKeys({ store, vault, clock, random: randomBytes }),
  )
  clock.advance(91 * DAY_MS)
  await Promise.all(processes.map((keys) => keys.maintain()))
  t.match(await kids(broker), {
    active: { length: 1 },
    retired: { length: 1 },
    next: { length: 1 },
  })
  const rotated = await Promise.all(processes.map((keys) => keys.rotate('test')))
  t.equal(
    new Set(rotated.flat().map(({ kid }) => kid)).size,
    5,
    'each requested rotation creates a key',
  )
  t.match(await kids(broker), { active: { length: 1 }, next: { length: 1 } })
  const kid = (await kids(broker)).next[0] ?? ''
  await updateSigningKeys(store, (keys) => revokeKey(keys, kid, 0))
  await Promise.all(processes.map((keys) => keys.maintain()))
  t.equal((await kids(broker)).next.length, 1, 'one next key is created')
})

t.test('a revoked key is invalid at once in every process, and the next one signs', async (t) => {
  const broker = await buildBroker(t)
  const { store, vault, keys } = broker.services
  const { clock } = broker
  const other = createSigningKeys({ store, vault, clock, random: randomBytes })
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const { active, next } = await kids(broker)
  t.equal(await other.revoke(active[0] ?? '', 'test'), true)
  t.equal(await other.revoke(active[0] ?? '', 'test'), false)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.same((await kids(broker)).active, next)
  t.equal((await keys.current('EdDSA')).kid, next[0])
  t.equal((await exchange(broker, (await connect(broker, app)).brokerToken)).status, 200)
  t.notOk((await published(broker)).includes(active[0] ?? ''))
  await store.purge({ now: clock.now(), limit: 100 })
  clock.advance(31 * DAY_MS)
  await keys.maintain()
  t.same((await kids(broker)).revoked, [], 'it is removed when all its tokens have expired')
})

t.test('without an active key, the published next key becomes active', async (t) => {
  const broker = await buildBroker(t)
  const { store, keys } = broker.services
  const { active, next } = await kids(broker)
  // A state that earlier versions left after a kill between two commits.
  const client = new Database(join(broker.dataDir, 'broker.db'))
  t.teardown(() => client.close())
  client.prepare("update signing_keys set status = 'revoked' where kid = ?").run(active[0])
  await keys.maintain()
  t.same((await kids(broker)).active, next)
  const [second] = (await kids(broker)).next
  await updateSigningKeys(store, (keys) => revokeKey(keys, next[0] ?? '', 0))
  t.same((await kids(broker)).active, [second], 'at the same time')
  await keys.ensure('EdDSA')
  t.equal((await kids(broker)).next.length, 1)
})

t.test('a clock that is far ahead for a while retires no key', async (t) => {
  const broker = await buildBroker(t)
  const { services, clock } = broker
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  await services.keys.rotate('test')
  await services.sweeper.sweep()
  const before = await kids(broker)
  clock.advance(3650 * DAY_MS)
  services.sweeper.start()
  // Each loop works once before it stops.
  await services.sweeper.stop()
  t.same((await kids(broker)).retired, before.retired)
  clock.advance(-3650 * DAY_MS)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('every signing key has a strength of at least 128 bits', async (t) => {
  const { services } = await buildBroker(t)
  const { keys } = await services.keys.jwks()
  for (const { alg, crv, n = '' } of keys) {
    // NIST SP 800-57 Part 1, 5.6.1: an elliptic curve of 256 bits, or 3072 bits of RSA.
    if (alg === 'EdDSA') t.equal(crv, 'Ed25519')
    else t.ok(Buffer.from(n, 'base64url').length >= 384, `${alg}: ${n.length} characters`)
  }
  t.strictSame(new Set(keys.map(({ alg }) => alg)), new Set(['EdDSA', 'RS256']))
})

t.test('a key id does not look like an option', async (t) => {
  const { store } = await openTemporary(t)
  const dashes = (bytes: number) => Buffer.alloc(bytes, 0xfb)
  const vault = { seal: () => Buffer.alloc(8) } as unknown as Vault
  const keys = createSigningKeys({ store, vault, clock: runtime.clock, random: dashes })
  await keys.ensure('EdDSA').catch(() => undefined)
  t.match((await keys.list())[0]?.kid, /^_/)
})
