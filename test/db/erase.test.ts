import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Sealed, Store } from '../../db/store.ts'
import { size } from '../size.ts'
import { revokeKey } from '../../server/crypto/key-set.ts'
import {
  connect,
  NOW,
  purge,
  sweep,
  addSigningKey,
  newSigningKey,
  updateSigningKeys,
  listConnections,
} from './rows.ts'
import { openTemporary } from './temporary.ts'

const SIZES = [357, 1189, 4389, 17_445]
const STEPS = size(300, 1000)
const marked = /<\d{6}>/g

/** Values that can be told apart wherever their bytes are found, and random choices that repeat. */
function createPlan() {
  let seed = 20_260_701
  let marks = 0
  const pick = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * below)
  }
  const seal = (size = 357): Sealed => {
    const mark = `<${String(marks++).padStart(6, '0')}>`
    return Buffer.alloc(size, mark)
  }
  const tokens = () => ({
    refreshToken: seal(),
    accessToken: seal(SIZES[pick(8)]),
    accessTokenExpiresAt: NOW,
    accessTokenFetchedAt: NOW,
  })
  return { pick, seal, tokens, marks: () => marks }
}

/** The marks whose bytes are in any file of the directory, whole or in part of a page. */
const findMarks = (directory: string): Set<string> =>
  new Set(
    readdirSync(directory).flatMap(
      (file) => readFileSync(join(directory, file), 'latin1').match(marked) ?? [],
    ),
  )

/** The marks of the values that the store still gives. */
async function liveMarks(store: Store): Promise<Set<string>> {
  const connections = await listConnections(store)
  const keys = await store.listSigningKeys()
  const values = [
    ...connections.flatMap((row) => [row.refreshToken, row.previousRefreshToken, row.accessToken]),
    ...keys.map(({ privateKey }) => privateKey),
  ]
  const texts = values.map((value) => Buffer.from(value ?? []).toString('latin1', 0, 8))
  return new Set(texts.filter((text) => text.startsWith('<')))
}

/** A store that has seen connecting, refreshing, failing, revoking and sweeping, in some disorder. */
async function keepBusy(store: Store, steps: number) {
  const plan = createPlan()
  const ids: string[] = []
  const revoke = async (id: string) => {
    await store.revokeConnection({ id, now: NOW, events: [] })
    ids.splice(ids.indexOf(id), 1)
  }
  const refresh = async (id: string) => {
    const { generation } = (await store.getConnection(id)) ?? { generation: 0 }
    const own = { id, expectedGeneration: generation, owner: 'me' }
    const previousRefreshToken = plan.pick(3) === 0 ? null : plan.seal()
    const tokens = plan.tokens()
    await store.saveTokens({ ...own, tokens, previousRefreshToken, now: NOW, events: [] })
  }
  const authorize = async (state: string) => {
    await connect(store, state, { tokens: plan.tokens() })
    ids.push(state)
  }
  for (let step = 0; step < steps; step++) {
    const id = ids[plan.pick(ids.length)]
    const kind = plan.pick(10)
    if (id === undefined || kind < 3) await authorize(`${plan.pick(1e9)} ${step}`)
    else if (kind < 8) await refresh(id)
    else await revoke(id)
    if (step % 200 === 100) await maintain(store)
  }
  return plan
}

async function maintain(store: Store): Promise<void> {
  await purge(store, NOW)
  const bounds = { keepUsedMs: 0, endedBefore: NOW + 1, eventsBefore: NOW + 1 }
  await sweep(store, { now: NOW, ...bounds })
}

t.test('no file keeps a byte of what was replaced or deleted in a busy store', async (t) => {
  const { store, directory } = await openTemporary(t)
  const plan = await keepBusy(store, STEPS)
  const bounds = { keepUsedMs: 0, endedBefore: 0, eventsBefore: 0 }
  await sweep(store, { now: NOW + 1, ...bounds })
  for (const kid of ['k1', 'k2']) {
    await addSigningKey(store, newSigningKey(kid, { privateKey: plan.seal() }))
  }
  await updateSigningKeys(store, (keys) => revokeKey(keys, 'k1', NOW))

  const live = await liveMarks(store)
  t.ok(findMarks(directory).size > live.size, 'until the log is emptied, the dead are in it')
  t.equal(await purge(store, NOW), true)
  t.ok(live.size > STEPS / 5 && plan.marks() > STEPS, `${live.size} live of ${plan.marks()}`)
  t.strictSame(findMarks(directory), live)
})

t.test('an erasure is pending while somebody reads the log', async (t) => {
  const { store, directory } = await openTemporary(t)
  const { seal } = createPlan()
  const tokens = { refreshToken: seal(), accessToken: seal() }
  const times = { accessTokenExpiresAt: NOW, accessTokenFetchedAt: NOW }
  await connect(store, 'con', { tokens: { ...tokens, ...times } })
  const reader = new Database(join(directory, 'broker.db'))
  t.teardown(() => reader.close())
  reader.exec('begin')
  reader.prepare('select count(*) from connections').get()

  await store.revokeConnection({ id: 'con', now: NOW, events: [] })
  const before = performance.now()
  t.equal(await purge(store, NOW + 1), false)
  t.ok(performance.now() - before < 500, 'it doesn’t wait')
  t.equal(await store.isErasurePending(), true)
  t.equal((await store.getConnection('con'))?.erasedAt, null)
  t.equal(findMarks(directory).size, 2)

  reader.exec('commit')
  t.equal(await purge(store, NOW + 2), true)
  t.equal(await store.isErasurePending(), false)
  t.equal((await store.getConnection('con'))?.erasedAt, NOW + 2)
  t.equal(findMarks(directory).size, 0)
})
