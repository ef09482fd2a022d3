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
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import { appDefaults } from '../../server/oauth/apps.ts'
import { checkSealed } from '../../server/crypto/reseal.ts'
import { Secret } from '../../server/secret.ts'
import { backup } from '../../server/operate/backup.ts'
import { newKey } from '../../server/data/secret-key.ts'
import { runtime } from '../../server/runtime.ts'
import { connectMany } from './load.ts'
import { makeBackup, putBack } from './backups.ts'
import { buildHeadless, damage, outcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

t.test(
  'a restored backup serves what upstream honours, and what was revoked stays so',
  async (t) => {
    const place = await buildHeadless(t)
    const first = await place.start()
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
    const file = await makeBackup(t, place)

    await services.connections.revoke('con_1', 'test')
    await services.store.revokeConnection({
      erasePerson: true,
      id: 'con_2',
      now: place.clock.now(),
      events: [],
    })
    const grant = (await services.store.listGrants('con_3'))[0]?.id ?? ''
    await services.connections.revokeGrant(grant, 'test')
    await services.apps.remove(other.app.id, 'test')
    await services.admins.remove('gone@x.example', 'test')
    await services.admins.setPassword(
      'stays@x.example',
      new Secret('another password, long'),
      'test',
    )
    const hash = (await services.admins.list()).find(({ email }) =>
      email.startsWith('stays'),
    )?.passwordHash
    const next = (await services.keys.list()).find(({ status }) => status === 'next')?.kid ?? ''
    await services.keys.revoke(next, 'test')
    await first.stop()

    const text = await putBack(place, file)
    t.match(
      text,
      /Restored 6 connections.*2 connections, \d grants, 1 apps, 1 admins, 1 keys.*kept: .*replaced/s,
    )
    const again = await place.start()
    t.equal(await outcome(again, token(0)), 'ok')
    t.equal(await outcome(again, token(1)), 'connection_revoked')
    t.equal(await outcome(again, token(2)), 'connection_revoked')
    t.equal(await outcome(again, token(3)), 'token_refused')
    t.equal(await outcome(again, token(4)), 'ok')
    const { store } = again.services
    t.match(await store.getConnection('con_2'), {
      username: '',
      accountId: null,
      refreshToken: null,
    })
    t.match(await store.getConnection('con_4'), { restoredFrom: null }, 'a refresh has proven it')
    t.match(await store.getConnection('con_5'), { restoredFrom: Number })
    t.equal(await store.getApp(other.app.id), undefined)
    t.match(await again.services.admins.list(), [{ email: 'stays@x.example', passwordHash: hash }])
    t.equal((await again.services.keys.list()).find(({ kid }) => kid === next)?.status, 'revoked')
    t.equal((await checkSealed(again.services, () => undefined)).failed, 0)
    const actions = (await store.listEvents({ limit: 9 })).rows.map(({ action }) => action)
    t.ok(actions.includes('store.restored'))
  },
)

t.test('a refusal afterwards says that the token came from a backup', async (t) => {
  const place = await buildHeadless(t, { rotation: 'always' })
  const first = await place.start()
  const devices = await connectMany(first, 2)
  const file = await makeBackup(t, place)
  t.equal(await outcome(first, devices[0]?.token ?? ''), 'ok')
  await first.stop()
  await putBack(place, file)
  const again = await place.start()
  t.equal(await outcome(again, devices[0]?.token ?? ''), 'needs_reconnect')
  t.match(await again.services.store.getConnection('con_0'), {
    status: 'needs_reconnect',
    lastError: /restored from a backup of 20.*superseded/,
  })
  t.equal(await outcome(again, devices[1]?.token ?? ''), 'ok', 'upstream still honours this one')
})

t.test('where it can’t be told what was revoked, it has to be accepted', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  const devices = await connectMany(first, 2)
  const file = await makeBackup(t, place)
  await first.services.connections.revoke('con_1', 'test')
  await first.stop()
  const path = join(place.dataDir, 'broker.db')
  renameSync(path, `${path}.lost`)
  await t.rejects(putBack(place, file), { code: 'restore.incomparable' })
  t.notOk(existsSync(path), 'nothing has changed')
  t.match(
    await putBack(place, file, { acceptRevoked: true }),
    /without knowing.*nowhere: there was none/s,
  )
  const second = await place.start()
  t.equal(await outcome(second, devices[1]?.token ?? ''), 'ok', 'as it was accepted')
  await second.stop()

  writeFileSync(path, 'no database')
  await t.rejects(putBack(place, file), { code: 'restore.incomparable' })
  await putBack(place, file, { acceptRevoked: true })

  const foreign = new Database(path)
  foreign.exec('drop table meta')
  foreign.close()
  await t.rejects(putBack(place, file), { code: 'restore.incomparable' }, 'nobody’s store')
  await putBack(place, file, { acceptRevoked: true })

  // An older line of the same store knows what it revoked, but not what it lacks.
  const third = await place.start()
  await third.services.connections.revoke('con_0', 'test')
  await third.services.store.addEvents([{ at: 1, actor: 'x', action: 'y' }])
  const newer = join(temporaryFolder(t), 'newer.db')
  await backup({ dataDir: place.dataDir }, newer, runtime)
  await third.stop()
  await putBack(place, file)
  await t.rejects(putBack(place, newer), { code: 'restore.incomparable' })
  t.match(await putBack(place, newer, { acceptRevoked: true }), 'without knowing')
})

t.test('a copy of broker.db itself is a backup as of now', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  await connectMany(first, 2)
  await first.stop()
  const copy = join(temporaryFolder(t), 'copy.db')
  copyFileSync(join(place.dataDir, 'broker.db'), copy)
  const today = new Date(place.clock.now()).toISOString().slice(0, 10)
  t.match(
    await putBack(place, copy, { acceptRevoked: true }),
    `Restored 2 connections as of ${today}`,
  )
})

t.test('what can’t be restored is refused, and nothing changes', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  await connectMany(first, 2)
  const file = await makeBackup(t, place)
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'text'), 'no database')
  writeFileSync(join(folder, 'empty'), '')
  await t.rejects(putBack(place, file), { code: 'restore.open' }, 'while a broker runs')
  await first.stop()
  await t.rejects(putBack(place, join(folder, 'none')), { code: 'restore.no-file' })
  await t.rejects(putBack(place, join(file, 'none')), { code: 'restore.unreadable' })
  await t.rejects(putBack(place, join(folder, 'text')), { code: 'restore.damaged' })
  await t.rejects(putBack(place, join(folder, 'empty')), { code: 'restore.not-ours' })
  await t.rejects(putBack(place, join(place.dataDir, 'broker.db')), { code: 'restore.itself' })

  const newer = join(folder, 'newer')
  copyFileSync(file, newer)
  const client = new Database(newer)
  client.exec("insert into __drizzle_migrations (hash, created_at) values ('x', 9e15)")
  client.close()
  await t.rejects(putBack(place, newer), { code: 'restore.newer' })
  const secrets = [newKey(randomBytes)]
  await t.rejects(putBack(place, file, { secrets }), /BROKER_SECRETS doesn’t hold/)
  rmSync(join(place.dataDir, 'secret.key'))
  await t.rejects(putBack(place, file), { code: 'restore.key' })

  const broken = join(folder, 'broken')
  copyFileSync(file, broken)
  damage(broken)
  await t.rejects(putBack(place, broken), /is damaged: NULL value/)
  const damaged = join(folder, 'damaged')
  const bytes = readFileSync(file)
  writeFileSync(damaged, bytes.fill(7, 8192, 8192 + 4096))
  await t.rejects(putBack(place, damaged), { code: 'restore.damaged' })
  t.equal(inspectDatabase(join(place.dataDir, 'broker.db'), undefined).connections, 2)
  t.notOk(readdirSync(place.dataDir).some((name) => name.includes('replaced')))
})

t.test(
  'a restore that was cut off after its commit is completed, by it or by a start',
  async (t) => {
    const place = await buildHeadless(t)
    const first = await place.start()
    await connectMany(first, 2)
    const file = await makeBackup(t, place)
    await first.services.connections.revoke('con_1', 'test')
    await first.stop()
    await putBack(place, file)
    const path = join(place.dataDir, 'broker.db')
    const cutOff = () => renameSync(path, join(place.dataDir, 'broker.db.restored'))
    cutOff()
    t.match(await putBack(place, file), /that had been cut off is complete/)
    cutOff()
    writeFileSync(path, 'the former one')
    const again = await place.start()
    t.equal((await again.services.store.getConnection('con_1'))?.status, 'revoked')
    t.ok(
      readdirSync(place.dataDir).some((name) => name.includes('replaced')),
      'what was there is kept',
    )
  },
)
