import { randomBytes } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { MARKS } from '../../db/copy/tables.ts'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import { loadConfig } from '../../server/config/config.ts'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import { checkSealed } from '../../server/crypto/reseal.ts'
import { Secret } from '../../server/secret.ts'
import { backup } from '../../server/operate/backup.ts'
import { dataChecks } from '../../server/operate/doctor/data-checks.ts'
import { newKey } from '../../server/data/secret-key.ts'
import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import { connectMany } from './load.ts'
import { buildHeadless, damage, makeBackup, restoreBackup, swapOutcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

t.test('a restored backup serves valid tokens, and revocations stay in effect', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const devices = await connectMany(first, 6)
  const token = (index: number) => devices[index]?.token ?? ''
  const { services } = first
  const other = await services.apps.add(
    { ...appDefaults, name: 'Other', redirectUris: ['https://o.example/'], confidential: true },
    'test',
  )
  const password = new Secret('a long enough password')
  await services.admins.add('gone@x.example', password, 'test')
  await services.admins.add('stays@x.example', password, 'test')
  const file = await makeBackup(t, setup)

  await services.connections.revoke('con_1', 'test')
  await services.store.revokeConnection({
    id: 'con_2',
    now: setup.clock.now(),
    erasePerson: true,
    events: [],
  })
  const grant = (await services.store.listGrants('con_3'))[0]?.id ?? ''
  await services.connections.revokeGrant(grant, 'test')
  await services.apps.remove(other.app.id, 'test')
  await services.admins.remove('gone@x.example', 'test')
  await services.admins.setPassword('stays@x.example', new Secret('another password, long'), 'test')
  const hash = (await services.admins.list()).find(({ email }) =>
    email.startsWith('stays'),
  )?.passwordHash
  const next = (await services.keys.list()).find(({ status }) => status === 'next')?.kid ?? ''
  await services.keys.revoke(next, 'test')
  await first.stop()

  const text = await restoreBackup(setup, file)
  t.match(
    text,
    /Restored 6 connections.*connections revoked: 2, devices revoked: \d, apps removed: 1, admins removed: 1, signing keys revoked: 1\. The previous store is kept as .*replaced/s,
  )
  const again = await setup.start()
  t.equal(await swapOutcome(again, token(0)), 'ok')
  t.equal(await swapOutcome(again, token(1)), 'connection_revoked')
  t.equal(await swapOutcome(again, token(2)), 'connection_revoked')
  t.equal(await swapOutcome(again, token(3)), 'token_refused')
  t.equal(await swapOutcome(again, token(4)), 'ok')
  const { store } = again.services
  t.match(await store.getConnection('con_2'), {
    username: '',
    accountId: null,
    refreshToken: null,
  })
  t.match(await store.getConnection('con_4'), { restoredFrom: null }, 'a refresh has verified it')
  t.match(await store.getConnection('con_5'), { restoredFrom: Number })
  t.equal(await store.getApp(other.app.id), undefined)
  t.match(await again.services.admins.list(), [{ email: 'stays@x.example', passwordHash: hash }])
  t.equal((await again.services.keys.list()).find(({ kid }) => kid === next)?.status, 'revoked')
  t.equal((await checkSealed(again.services, () => undefined)).failed, 0)
  const actions = (await store.listEvents({ limit: 9 })).rows.map(({ action }) => action)
  t.ok(actions.includes('store.restored'))
})

t.test('a rejection after a restore says that the token came from a backup', async (t) => {
  const setup = await buildHeadless(t, { rotation: 'always' })
  const first = await setup.start()
  const devices = await connectMany(first, 2)
  const file = await makeBackup(t, setup)
  t.equal(await swapOutcome(first, devices[0]?.token ?? ''), 'ok')
  await first.stop()
  await restoreBackup(setup, file)
  const again = await setup.start()
  t.equal(await swapOutcome(again, devices[0]?.token ?? ''), 'needs_reconnect')
  t.match(await again.services.store.getConnection('con_0'), {
    status: 'needs_reconnect',
    lastError: /restored from a backup of 20.*superseded/,
  })
  t.equal(
    await swapOutcome(again, devices[1]?.token ?? ''),
    'ok',
    'upstream still honours this one',
  )
})

t.test('if revocations are unknown, the restore needs --accept-revoked', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const devices = await connectMany(first, 2)
  const file = await makeBackup(t, setup)
  await first.services.connections.revoke('con_1', 'test')
  await first.stop()
  const path = join(setup.dataDir, 'broker.db')
  renameSync(path, `${path}.lost`)
  const refused = await restoreBackup(setup, file).catch((error: unknown) => error as Error)
  t.match(refused, {
    code: 'restore.new-directory',
    message: /normal on a new machine.*revoked since 20.* may work again.*--accept-revoked/s,
  })
  t.notMatch(refused, { message: /damaged|missing/ })
  t.notOk(existsSync(path), 'nothing has changed')
  const restored = await restoreBackup(setup, file, { acceptRevoked: true })
  t.match(restored, /^Restored 2 connections as of 20.* into .*, where there was no store\./)
  t.match(restored, /revoked since then works again/)
  const second = await setup.start()
  t.equal(await swapOutcome(second, devices[1]?.token ?? ''), 'ok', 'as accepted')
  await second.stop()

  writeFileSync(path, 'no database')
  await t.rejects(restoreBackup(setup, file), { code: 'restore.incomparable' })
  await restoreBackup(setup, file, { acceptRevoked: true })

  const foreign = new Database(path)
  foreign.exec('drop table meta')
  foreign.close()
  await t.rejects(restoreBackup(setup, file), { code: 'restore.incomparable' }, 'not a store')
  await restoreBackup(setup, file, { acceptRevoked: true })

  // A store restored from an older backup knows its own revocations, but not those made in between.
  const third = await setup.start()
  await third.services.connections.revoke('con_0', 'test')
  await third.services.store.addEvents([{ at: 1, actor: 'x', action: 'y' }])
  const newer = join(temporaryFolder(t), 'newer.db')
  await backup({ dataDir: setup.dataDir }, newer, runtime)
  await third.stop()
  await restoreBackup(setup, file)
  await t.rejects(restoreBackup(setup, newer), { code: 'restore.incomparable' })
  t.match(
    await restoreBackup(setup, newer, { acceptRevoked: true }),
    'not everything that was revoked since then is known',
  )
})

t.test('a copy of broker.db itself is a backup as of now', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await connectMany(first, 2)
  await first.stop()
  const copy = join(temporaryFolder(t), 'copy.db')
  copyFileSync(join(setup.dataDir, 'broker.db'), copy)
  const today = new Date(setup.clock.now()).toISOString().slice(0, 10)
  t.match(
    await restoreBackup(setup, copy, { acceptRevoked: true }),
    `Restored 2 connections as of ${today}`,
  )
})

t.test('a file that can’t be restored is rejected, and nothing changes', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await connectMany(first, 2)
  const file = await makeBackup(t, setup)
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'text'), 'no database')
  writeFileSync(join(folder, 'empty'), '')
  await t.rejects(restoreBackup(setup, file), { code: 'restore.in-use' }, 'while a broker runs')
  await first.stop()
  await t.rejects(restoreBackup(setup, join(folder, 'none')), { code: 'restore.no-file' })
  await t.rejects(restoreBackup(setup, join(file, 'none')), { code: 'restore.unreadable' })
  await t.rejects(restoreBackup(setup, join(folder, 'text')), { code: 'restore.damaged' })
  await t.rejects(restoreBackup(setup, join(folder, 'empty')), { code: 'restore.not-a-backup' })
  await t.rejects(restoreBackup(setup, join(setup.dataDir, 'broker.db')), {
    code: 'restore.itself',
  })

  const newer = join(folder, 'newer')
  copyFileSync(file, newer)
  const client = new Database(newer)
  client.exec("insert into __drizzle_migrations (hash, created_at) values ('x', 9e15)")
  client.close()
  await t.rejects(restoreBackup(setup, newer), { code: 'restore.newer' })
  const secrets = [newKey(randomBytes)]
  await t.rejects(
    restoreBackup(setup, file, { secrets }),
    /a key that is missing from BROKER_SECRETS/,
  )
  rmSync(join(setup.dataDir, 'secret.key'))
  await t.rejects(restoreBackup(setup, file), { code: 'restore.key-missing' })

  const broken = join(folder, 'broken')
  copyFileSync(file, broken)
  damage(broken)
  await t.rejects(restoreBackup(setup, broken), /is damaged: NULL value/)
  const damaged = join(folder, 'damaged')
  const bytes = readFileSync(file)
  writeFileSync(damaged, bytes.fill(7, 8192, 8192 + 4096))
  await t.rejects(restoreBackup(setup, damaged), { code: 'restore.damaged' })
  t.equal(inspectDatabase(join(setup.dataDir, 'broker.db'), undefined).connections, 2)
  t.notOk(readdirSync(setup.dataDir).some((name) => name.includes('replaced')))
})

t.test(
  'a restore that was interrupted after its commit is completed by restore or by a start',
  async (t) => {
    const setup = await buildHeadless(t)
    const first = await setup.start()
    await connectMany(first, 2)
    const file = await makeBackup(t, setup)
    await first.services.connections.revoke('con_1', 'test')
    await first.stop()
    await restoreBackup(setup, file)
    const path = join(setup.dataDir, 'broker.db')
    const interrupt = () => renameSync(path, join(setup.dataDir, 'broker.db.restored'))
    interrupt()
    t.match(await restoreBackup(setup, file), /The interrupted restore of .* is now complete/)
    interrupt()
    writeFileSync(path, 'the former one')
    const again = await setup.start()
    t.equal((await again.services.store.getConnection('con_1'))?.status, 'revoked')
    t.ok(
      readdirSync(setup.dataDir).some((name) => name.includes('replaced')),
      'the previous store is kept',
    )
  },
)

t.test('a store that was moved elsewhere is not replaced by its backup', async (t) => {
  const setup = await buildHeadless(t)
  const broker = await setup.start()
  const [device] = await connectMany(broker, 1)
  const file = await makeBackup(t, setup)
  const to = 'postgres://db.example.com/broker'
  const moved = JSON.stringify({ to, at: '2026-01-02T03:04:05.000Z' })
  await broker.services.store.setMeta({ [MARKS.moved]: moved })
  await broker.stop()

  const { dataDir, env } = setup
  t.match(await command(['restore', file], env), {
    code: 2,
    stderr: /was copied to postgres:\/\/db\.example\.com\/broker at 2026-01-02.*store take-back/s,
  })
  const found = await dataChecks.database?.({ ...loadConfig(env), runtime })
  t.match(found, { status: 'problem', finding: `The store in ${dataDir} was copied to ${to}` })
  t.match(found?.fix, /Set BROKER_DATABASE_URL .* Until then, no broker starts here/)

  t.match(await command(['store', 'take-back'], env), { code: 0 })
  t.match(await command(['restore', file], env), { code: 0 })
  t.equal(await swapOutcome(await setup.start(), device?.token ?? ''), 'ok')
})
