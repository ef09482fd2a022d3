import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import { fill } from '../../bench/scale/fill.ts'
import { withLock } from '../../db/data-directory/open.ts'
import { registerProcess } from '../../db/data-directory/presence.ts'
import { keyIdOf } from '../../server/crypto/vault.ts'
import { checkSealed } from '../../server/crypto/reseal.ts'
import { limitRate, rotateSecrets } from '../../server/operate/rotate-secrets.ts'
import { newKey, readKeys } from '../../server/data/secret-key.ts'
import { command } from '../command.ts'
import { settingsOf } from '../db/stored/setting.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { createKills, killRounds, outputOf } from '../kill.ts'
import type { KillPoint } from '../kill.ts'
import { runCli, serve } from '../processes.ts'
import { connectMany, startLoad, swapAt } from './load.ts'
import { temporaryFolder } from '../temporary.ts'
import type { Store } from '../../db/store.ts'

const quiet = () => undefined

/** Makes a broker check for changed keys every 20 ms instead of every second. */
function followOften({ clock }: TestBroker): void {
  const { sleep } = clock
  clock.sleep = (milliseconds, signal) => sleep(milliseconds === 1000 ? 20 : milliseconds, signal)
}

const check = ({ services }: TestBroker) => checkSealed(services, quiet)
const keysIn = ({ dataDir }: TestBroker) => readKeys(join(dataDir, 'secret.key'))

/** The store's key of the sealed value with that associated data. */
async function keyOf(store: Store, associatedData: string): Promise<string> {
  for (let after: string | null = null; ;) {
    const page: Awaited<ReturnType<Store['listSealed']>> = await store.listSealed({
      after,
      limit: 9,
    })
    const found = page.find((value) => value.associatedData === associatedData)
    if (found) return found.key
    after = page.at(-1)?.key ?? null
    if (after === null) throw new Error('no such sealed value')
  }
}

t.test('secret check opens every value, and lists those it can’t open', async (t) => {
  const broker = await buildBroker(t)
  await connectMany(broker, 3)
  const good = await command(['secret', 'check'], broker.env)
  t.match(await command(['secret', 'check', '--json'], broker.env), { code: 0 })
  t.match(good, {
    code: 0,
    stdout: /^All \d+ sealed values can be opened: \d+ with [0-9a-f]{16}\.\n$/,
  })

  const { store, vault } = broker.services
  const connection = await store.getConnection('con_1')
  const stored = connection?.refreshToken ?? new Uint8Array()
  const moved = vault.open('connections/con_1/refresh_token', stored)
  const sealed = vault.seal('connections/con_2/refresh_token', moved)
  const key = await keyOf(store, 'connections/con_1/refresh_token')
  await store.reseal([{ key, expected: stored, sealed }])
  const bad = await command(['secret', 'check'], broker.env)
  t.match(bad, {
    code: 1,
    stderr: /1 of \d+ sealed values can’t be opened: connections\/con_1\/refresh/,
  })
  const json = await command(['secret', 'check', '--json'], broker.env)
  t.equal(json.code, 1)
  t.match(JSON.parse(json.stdout), { failed: 1, places: ['connections/con_1/refresh_token'] })
  await t.rejects(rotateSecrets(broker.services, quiet), { code: 'secret.rotate.failed' })
  t.equal(keysIn(broker).length, 2, 'the old key stays')
})

t.test('secret rotate reseals everything with one key while brokers serve', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  followOften(broker)
  broker.services.sweeper.start()
  const devices = await connectMany(broker, 20)
  const other = await serve(t, broker.env)
  const load = startLoad(t, broker, [broker.url, other.url], devices)
  const before = keysIn(broker)[0]?.reveal()
  const rotated = await command(['secret', 'rotate'], broker.env)
  t.match(rotated, { code: 0, stdout: /^Everything is now sealed with the key [0-9a-f]{16};/ })
  t.match(rotated.stderr, /Waiting until these use the new key: .*\(serve\)/)
  t.strictSame(Object.keys(await load.stop()), ['200'])
  t.equal(keysIn(broker).length, 1)
  t.not(keysIn(broker)[0]?.reveal(), before)
  const found = await check(broker)
  t.equal(found.failed, 0)
  t.strictSame(Object.keys(found.byKey), [broker.services.vault.keyId()])
  t.match(await broker.services.store.getMeta(), {
    secret_fingerprints: broker.services.vault.keyId(),
    secret_rotation: '',
  })
  for (const { token } of devices) t.equal(await swapAt(other.url, token), 200)
})

t.test('secret rotate keeps the old key in a file, for older backups', async (t) => {
  const broker = await buildBroker(t)
  followOften(broker)
  broker.services.sweeper.start()
  const before = keysIn(broker).map((key) => key.reveal())
  const rotated = await command(['secret', 'rotate'], broker.env)
  const { vault, store } = broker.services
  const kept = join(broker.dataDir, `secret.key.before-${vault.keyId()}`)
  const holdsOld = () =>
    t.strictSame(
      readKeys(kept).map((key) => key.reveal()),
      before,
    )
  t.match(rotated, { code: 0, stdout: kept })
  t.equal(statSync(kept).mode & 0o777, 0o600)
  holdsOld()
  // The state after a kill right after the old key was removed.
  await store.setMeta({ secret_rotation: vault.keyId() })
  t.match(await command(['secret', 'rotate'], broker.env), { code: 0, stdout: kept })
  t.equal(keysIn(broker).length, 1)
  holdsOld()
})

t.test('secret rotate killed at any point and run again loses nothing', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  followOften(broker)
  broker.services.sweeper.start()
  const devices = await connectMany(broker, 30)
  // More than one batch, mostly of connections that nobody refreshes.
  await fill(broker.services, 1000)
  const other = await serve(t, broker.env)
  const load = startLoad(t, broker, [broker.url, other.url], devices, 2)
  const kills = createKills(t)
  for (let round = 0; round < killRounds; round++) {
    const child = runCli(['secret', 'rotate'], broker.env)
    // In order: each run continues where the previous one was killed.
    const all = pointsOf(broker, outputOf(child))
    const points = killRounds < all.length ? [all[1], all[3], all[4]] : all
    const point = points[round % points.length]
    if (point) await kills.at(child, point)
    t.equal((await check(broker)).failed, 0, 'everything opens at any point')
    if (point === points.at(-1)) {
      t.match(await command(['secret', 'rotate'], broker.env), { code: 0 })
    }
  }
  kills.check()
  t.strictSame(Object.keys(await load.stop()), ['200'])
  t.equal(keysIn(broker).length, 1)
  t.strictSame(Object.keys((await check(broker)).byKey), [broker.services.vault.keyId()])
  for (const { token } of devices) t.equal(await swapAt(broker.url, token), 200)
})

/** The points where a rotation is killed, in order. @param output what it has printed so far */
function pointsOf(broker: TestBroker, output: () => string): KillPoint[] {
  const copies = () =>
    readdirSync(broker.dataDir).filter((name) => name.startsWith('secret.key.before-')).length
  const [copiesBefore, sealedBefore] = [copies(), countSealed(broker).young]
  const isAdded = () => keysIn(broker).length === 2
  const isWaiting = () => isAdded() && output().includes('Waiting until')
  const isOther = () => isAdded() && countSealed(broker).isOther
  const isBetween = () => {
    const { isOther, young, all } = countSealed(broker)
    // More than the brokers have sealed meanwhile.
    return isOther && young > sealedBefore + 200 && young < all - 100
  }
  const isMoved = () => copies() > copiesBefore
  return [
    { name: 'a key is added', reached: isAdded, holds: isAdded },
    { name: 'it waits for brokers', reached: isWaiting, holds: isWaiting, laterByMs: 100 },
    { name: 'the new key seals', reached: isOther, holds: isOther, laterByMs: 100 },
    { name: 'some are resealed', near: isOther, reached: isBetween, holds: isBetween },
    { name: 'the old key is moved', reached: isMoved, laterByMs: 5 },
  ]
}

/** Counts sealed values: all, and those with the new key of a rotation in progress. `isOther`: that key is first in the file. */
function countSealed(broker: TestBroker): { isOther: boolean; young: number; all: number } {
  const [first] = keysIn(broker)
  const client = new Database(join(broker.dataDir, 'broker.db'), { readonly: true })
  const read = (sql: string, ...values: unknown[]) =>
    client
      .prepare(sql)
      .pluck()
      .get(...values)
  const key = read("select value from meta where key = 'secret_rotation'") as string | undefined
  const all = Number(read('select count(*) from sealed where free = 0'))
  const isYoung = 'free = 0 and substr(bytes, 2, 8) = ?'
  const young = Number(
    read(`select count(*) from sealed where ${isYoung}`, Buffer.from(key ?? '', 'hex')),
  )
  client.close()
  return { isOther: first !== undefined && keyIdOf(first) === key, young, all }
}

t.test(
  'with BROKER_SECRETS, secret rotate waits until every broker uses the new order',
  async (t) => {
    const keys = [0, 1].map(() => newKey(randomBytes).reveal())
    const broker = await buildBroker(t, { env: { BROKER_SECRETS: keys.join(',') } })
    const { services } = broker
    await connectMany(broker, 3)
    t.match(await rotateSecrets(services, quiet), /^Nothing to do.*BROKER_SECRETS=OLD,NEW/s)
    const turned = { ...services.vault, keyIds: () => services.vault.keyIds().reverse() }
    const waiting = {
      pid: 77,
      command: 'serve',
      startedAt: 0,
      keyIds: services.vault.keyIds(),
      id: '',
    }
    const processes = { ...services.processes, others: async () => [waiting] }
    await t.rejects(rotateSecrets({ ...services, vault: turned, processes }, quiet, 0), {
      code: 'secret.rotate.waiting',
    })
  },
)

t.test('with BROKER_SECRETS in the new order everything is resealed', async (t) => {
  const [old, young] = [0, 1].map(() => newKey(randomBytes).reveal())
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const run = (secrets: string, ...args: string[]) =>
    command(args, { ...env, BROKER_SECRETS: secrets })
  const uri = 'https://map.example.com/'
  t.match(await run(`${old}`, 'app', 'add', 'Map', '--redirect-uri', uri), { code: 0 })
  const rotated = await run(`${young},${old}`, 'secret', 'rotate')
  t.match(rotated, { code: 0, stdout: /first key of BROKER_SECRETS.*Remove the other keys/s })
  t.match(await run(`${young}`, 'secret', 'check'), { code: 0 })
  t.match(await run(`${old}`, 'secret', 'check'), {
    code: 2,
    stderr: /is missing from BROKER_SECRETS/,
  })
})

t.test('a broker that started meanwhile with the previous order keeps the old key', async (t) => {
  const [old, young] = [0, 1].map(() => newKey(randomBytes).reveal())
  const dataDir = temporaryFolder(t)
  const before = await buildBroker(t, { dataDir, env: { BROKER_SECRETS: `${old}` } })
  await connectMany(before, 2)
  const { services } = await buildBroker(t, { dataDir, env: { BROKER_SECRETS: `${young},${old}` } })
  const stale = { pid: 77, command: 'serve', startedAt: 0, id: '' }
  let looks = 0
  const others = async () =>
    looks++ === 0 ? [] : [{ ...stale, keyIds: before.services.vault.keyIds() }]
  const rotating = rotateSecrets(
    { ...services, processes: { ...services.processes, others } },
    quiet,
  )
  await t.rejects(rotating, { code: 'secret.rotate.waiting' })
  const { secret_fingerprints: known = '' } = await services.store.getMeta()
  t.match(known, before.services.vault.keyId(), 'the old key is still asked for')
})

t.test('a running broker does not load an unrelated secret.key, and logs that', async (t) => {
  const broker = await buildBroker(t)
  const { services, dataDir, logged } = broker
  const [device] = await connectMany(broker, 1)
  let looks = 0
  const getMeta = services.store.getMeta.bind(services.store)
  services.store.getMeta = async () => {
    looks++
    return getMeta()
  }
  followOften(broker)
  services.sweeper.start()
  const file = join(dataDir, 'secret.key')
  const [kept, own] = [readFileSync(file), services.vault.keyId()]
  writeFileSync(file, `${newKey(randomBytes).reveal()}\n`)
  const refused = () => logged.filter((line) => line.includes('secret.key was not loaded'))
  while (refused().length === 0) await sleep(5)
  t.equal(services.vault.keyId(), own)
  t.equal(await swapAt(broker.url, device?.token ?? '', { min_ttl: 9999 }), 200)
  for (const until = looks + 5; looks < until;) await sleep(5)
  t.equal(refused().length, 1, 'once')
  writeFileSync(file, kept)
  t.equal((await check(broker)).failed, 0)
})

t.test('progress is reported at intervals', async (t) => {
  let [now, reports] = [0, 0]
  const limited = limitRate(() => now, 2000)
  for (; now < 5000; now += 100) limited(() => reports++)
  t.equal(reports, 2)
})

t.test('one rotation runs at a time, and waits for every process', async (t) => {
  const broker = await buildBroker(t)
  const { services, dataDir } = broker
  await withLock(dataDir, 'rotate.lock', undefined, 0, async () => {
    await t.rejects(rotateSecrets(services, quiet), { code: 'secret.rotate.locked' })
  })
  const brokerProcess = { pid: 77, command: 'serve', startedAt: 0, keyIds: services.vault.keyIds() }
  const other = registerProcess(dataDir, undefined, brokerProcess)
  const [before] = keysIn(broker)
  await t.rejects(rotateSecrets(services, quiet, 300), /don’t use the new key yet: 77 \(serve\)/)
  t.equal(keysIn(broker)[0]?.reveal(), before?.reveal(), 'the old key still seals')
  t.equal(keysIn(broker).length, 2)
  other.unregister()
  t.match(await rotateSecrets(services, quiet), /^Everything is now sealed/)
  t.equal(keysIn(broker).length, 1, 'the added key was used')
  await t.rejects(
    rotateSecrets(
      {
        ...services,
        coordination: {
          ...services.coordination,
          withLock: async () => Promise.reject(new Error('x')),
        },
      },
      quiet,
    ),
    { message: 'x' },
  )
})

t.test('a start fails if a key of the data is missing', async (t) => {
  const broker = await buildBroker(t)
  const file = join(broker.dataDir, 'secret.key')
  const [kept] = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, `${newKey(randomBytes).reveal()}\n`)
  t.match(await command(['secret', 'check'], broker.env), {
    code: 2,
    stderr: /fingerprint [0-9a-f]{16}/,
  })
  writeFileSync(file, `${kept}\n`)
  t.match(await command(['secret', 'check'], broker.env), { code: 0 })
})

t.test('secret rotate reseals values of the first format, with the same key', async (t) => {
  const dataDir = temporaryFolder(t)
  const stored = join(import.meta.dirname, '../db/stored/0000.db.gz')
  writeFileSync(join(dataDir, 'broker.db'), gunzipSync(readFileSync(stored)), { mode: 0o600 })
  const env = settingsOf(dataDir)
  const checked = async () => {
    const { stdout } = await command(['secret', 'check', '--json'], env)
    return JSON.parse(stdout) as { values: number; failed: number; outdated: number }
  }
  const before = await checked()
  t.equal(before.failed, 0)
  t.equal(before.outdated, before.values)
  t.match((await command(['secret', 'check'], env)).stdout, /\d+ to be resealed by `secret rotate`/)
  t.match(await command(['secret', 'rotate'], env), {
    code: 0,
    stdout: `; ${before.outdated} values of an older format were resealed.`,
  })
  t.match(await checked(), { values: before.values, failed: 0, outdated: 0 })
  t.match((await command(['secret', 'rotate'], env)).stdout, /^Nothing to do/)
})
