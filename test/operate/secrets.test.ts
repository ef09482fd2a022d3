import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { withLock } from '../../db/data-directory/open.ts'
import { announce } from '../../db/data-directory/presence.ts'
import { checkSealed } from '../../server/crypto/reseal.ts'
import { occasionally, rotateSecrets } from '../../server/operate/rotate-secrets.ts'
import { newKey, readKeys } from '../../server/data/secret-key.ts'
import { command } from '../command.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { runCli, serve } from '../processes.ts'
import { connectMany, killRounds, startLoad, swapAt } from './load.ts'
import { temporaryFolder } from '../temporary.ts'

const quiet = () => undefined
const check = ({ services }: TestBroker) => checkSealed(services, quiet)
const keysIn = ({ dataDir }: TestBroker) => readKeys(join(dataDir, 'secret.key'))

t.test('secret check opens everything, and names what doesn’t open', async (t) => {
  const broker = await buildBroker(t)
  await connectMany(broker, 3)
  const good = await command(['secret', 'check'], broker.env)
  t.match(await command(['secret', 'check', '--json'], broker.env), { code: 0 })
  t.match(good, { code: 0, stdout: /^All \d+ sealed values open: \d+ with [0-9a-f]{16}\.\n$/ })

  const { store, vault } = broker.services
  const connection = await store.getConnection('con_1')
  const stored = connection?.refreshToken ?? new Uint8Array()
  const moved = vault.open('connections/con_1/refresh_token', stored)
  const sealed = vault.seal('connections/con_2/refresh_token', moved)
  await store.reseal([{ place: 'connections/con_1/refresh_token', expected: stored, sealed }])
  const bad = await command(['secret', 'check'], broker.env)
  t.match(bad, {
    code: 1,
    stderr: /^1 of \d+ sealed values don’t open: connections\/con_1\/refresh/,
  })
  const json = await command(['secret', 'check', '--json'], broker.env)
  t.equal(json.code, 1)
  t.match(JSON.parse(json.stdout), { failed: 1, places: ['connections/con_1/refresh_token'] })
  await t.rejects(rotateSecrets(broker.services, quiet), { code: 'secret.rotate.unopened' })
  t.equal(keysIn(broker).length, 2, 'the old key stays')
})

t.test('secret rotate, while brokers serve, leaves one key and everything open', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  broker.services.sweeper.start()
  const devices = await connectMany(broker, 20)
  const other = await serve(t, broker.env)
  const load = startLoad(t, broker, [broker.url, other.url], devices)
  const before = keysIn(broker)[0]?.reveal()
  const rotated = await command(['secret', 'rotate'], broker.env)
  t.match(rotated, { code: 0, stdout: /^Everything is sealed with the key [0-9a-f]{16} now/ })
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

t.test('secret rotate keeps the old key aside, for the backups from before', async (t) => {
  const broker = await buildBroker(t)
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
  // As a kill right after the old key went out leaves it.
  await store.setMeta({ secret_rotation: vault.keyId() })
  t.match(await command(['secret', 'rotate'], broker.env), { code: 0, stdout: kept })
  t.equal(keysIn(broker).length, 1)
  holdsOld()
})

t.test('secret rotate, killed at random points and run again, loses nothing', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  broker.services.sweeper.start()
  const devices = await connectMany(broker, 30)
  const other = await serve(t, broker.env)
  const load = startLoad(t, broker, [broker.url, other.url], devices, 2)
  let killed = 0
  for (let round = 0; round < killRounds; round++) {
    const child = runCli(['secret', 'rotate'], broker.env)
    const closed = once(child, 'close')
    await new Promise((resolve) => setTimeout(resolve, 700 + Math.random() * 3000))
    child.kill('SIGKILL')
    const [code] = (await closed) as [number | null]
    if (code === null) killed++
    t.equal((await check(broker)).failed, 0, 'everything opens at any point')
  }
  t.match(await command(['secret', 'rotate'], broker.env), { code: 0 })
  t.comment(`killed ${killed} times`)
  t.strictSame(Object.keys(await load.stop()), ['200'])
  t.equal(keysIn(broker).length, 1)
  t.strictSame(Object.keys((await check(broker)).byKey), [broker.services.vault.keyId()])
  for (const { token } of devices) t.equal(await swapAt(broker.url, token), 200)
})

t.test(
  'with BROKER_SECRETS it waits for the operator to change the variable everywhere',
  async (t) => {
    const keys = [0, 1].map(() => newKey(randomBytes).reveal())
    const broker = await buildBroker(t, { env: { BROKER_SECRETS: keys.join(',') } })
    const { services } = broker
    await connectMany(broker, 3)
    t.match(await rotateSecrets(services, quiet), /^Nothing to do.*BROKER_SECRETS=OLD,NEW/s)
    const turned = { ...services.vault, keyIds: () => services.vault.keyIds().reverse() }
    const late = {
      pid: 77,
      command: 'serve',
      startedAt: 0,
      keyIds: services.vault.keyIds(),
      id: '',
    }
    const processes = { ...services.processes, others: () => [late] }
    await t.rejects(rotateSecrets({ ...services, vault: turned, processes }, quiet, 0), {
      code: 'secret.rotate.waiting',
    })
  },
)

t.test('with BROKER_SECRETS in its new order everything is sealed anew', async (t) => {
  const [old, young] = [0, 1].map(() => newKey(randomBytes).reveal())
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const run = (secrets: string, ...args: string[]) =>
    command(args, { ...env, BROKER_SECRETS: secrets })
  const uri = 'https://map.example.com/'
  t.match(await run(`${old}`, 'app', 'add', 'Map', '--redirect-uri', uri), { code: 0 })
  const rotated = await run(`${young},${old}`, 'secret', 'rotate')
  t.match(rotated, { code: 0, stdout: /first key of BROKER_SECRETS.*Take the other keys/s })
  t.match(await run(`${young}`, 'secret', 'check'), { code: 0 })
  t.match(await run(`${old}`, 'secret', 'check'), { code: 2, stderr: /doesn’t hold/ })
})

t.test('a broker that started meanwhile with the former order keeps the old key', async (t) => {
  const [old, young] = [0, 1].map(() => newKey(randomBytes).reveal())
  const dataDir = temporaryFolder(t)
  const before = await buildBroker(t, { dataDir, env: { BROKER_SECRETS: `${old}` } })
  await connectMany(before, 2)
  const { services } = await buildBroker(t, { dataDir, env: { BROKER_SECRETS: `${young},${old}` } })
  const stale = { pid: 77, command: 'serve', startedAt: 0, id: '' }
  let looks = 0
  const others = () => (looks++ === 0 ? [] : [{ ...stale, keyIds: before.services.vault.keyIds() }])
  const rotating = rotateSecrets(
    { ...services, processes: { ...services.processes, others } },
    quiet,
  )
  await t.rejects(rotating, { code: 'secret.rotate.waiting' })
  const { secret_fingerprints: known = '' } = await services.store.getMeta()
  t.match(known, before.services.vault.keyId(), 'the old key is still asked for')
})

t.test('another secret.key isn’t taken up by a running broker, which says so', async (t) => {
  const broker = await buildBroker(t)
  const { services, dataDir, logged } = broker
  const [device] = await connectMany(broker, 1)
  services.sweeper.start()
  const file = join(dataDir, 'secret.key')
  const [kept, own] = [readFileSync(file), services.vault.keyId()]
  writeFileSync(file, `${newKey(randomBytes).reveal()}\n`)
  const refused = () => logged.filter((line) => line.includes('secret.key holds other keys'))
  while (refused().length === 0) await sleep(50)
  t.equal(services.vault.keyId(), own)
  t.equal(await swapAt(broker.url, device?.token ?? '', { min_ttl: 9999 }), 200)
  await sleep(1200)
  t.equal(refused().length, 1, 'once')
  writeFileSync(file, kept)
  t.equal((await check(broker)).failed, 0)
})

t.test('progress is told once in a while', async (t) => {
  let [now, told] = [0, 0]
  const everyTwoSeconds = occasionally(() => now, 2000)
  for (; now < 5000; now += 100) everyTwoSeconds(() => told++)
  t.equal(told, 2)
})

t.test('one rotation at a time, and none past a process that doesn’t follow', async (t) => {
  const broker = await buildBroker(t)
  const { services, dataDir } = broker
  await withLock(dataDir, 'rotate.lock', undefined, 0, async () => {
    await t.rejects(rotateSecrets(services, quiet), { code: 'secret.rotate.busy' })
  })
  const told = { pid: 77, command: 'serve', startedAt: 0, keyIds: services.vault.keyIds() }
  const stubborn = announce(dataDir, undefined, told)
  const [before] = keysIn(broker)
  await t.rejects(rotateSecrets(services, quiet, 300), /don’t use the new key yet: 77 \(serve\)/)
  t.equal(keysIn(broker)[0]?.reveal(), before?.reveal(), 'the old one goes on sealing')
  t.equal(keysIn(broker).length, 2)
  stubborn.leave()
  t.match(await rotateSecrets(services, quiet), /^Everything is sealed/)
  t.equal(keysIn(broker).length, 1, 'the key that was added is the one that was used')
  await t.rejects(
    rotateSecrets(
      {
        ...services,
        locks: { ...services.locks, alone: async () => Promise.reject(new Error('x')) },
      },
      quiet,
    ),
    { message: 'x' },
  )
})

t.test('a key that data is sealed with may not be missing', async (t) => {
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
