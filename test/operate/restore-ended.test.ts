import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import { appDefaults } from '../../server/oauth/apps.ts'
import { Secret } from '../../server/secret.ts'
import { EMAIL, SECRET, startThen } from '../db/stored/setting.ts'
import { connectMany } from './load.ts'
import { restore } from '../../server/operate/restore.ts'
import { runtime } from '../../server/runtime.ts'
import { makeBackup, putBack } from './backups.ts'
import { buildHeadless, outcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

/** Stores of every schema so far. */
const STORED = join(import.meta.dirname, '../db/stored')

const DAY = 86_400_000

t.test('a superseded broker token stays superseded, and the one after it good', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  const devices = await connectMany(first, 3)
  const tokens = devices.map(({ token }) => token)
  for (const token of tokens) t.equal(await outcome(first, token), 'ok')
  const file = await makeBackup(t, place)
  await first.services.keys.rotate('test')
  place.clock.advance(16 * DAY)
  const renewed: string[] = []
  for (const brokerToken of tokens.slice(0, 2)) {
    const answer = await first.services.swap.swap({ brokerToken, client: null, proof: null })
    renewed.push(answer.renewed?.token ?? '')
    t.equal(await outcome(first, renewed.at(-1) ?? ''), 'ok')
  }
  place.clock.advance(6 * 60_000)
  await first.stop()
  await putBack(place, file)
  const again = await place.start()
  t.equal(await outcome(again, renewed[0] ?? ''), 'ok', 'nobody has to connect again')
  t.equal(await outcome(again, tokens[1] ?? ''), 'token_refused', 'a copy, used too late')
  t.equal(await outcome(again, renewed[1] ?? ''), 'token_refused', 'which ends the grant')
  t.equal(await outcome(again, tokens[2] ?? ''), 'ok', 'one that was never renewed')
})

t.test('what an app may do is what it has become', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  const { apps } = first.services
  const redirectUris = ['https://app.example/return', 'https://lapsed.example/return']
  const origins = ['https://lapsed.example']
  const before = {
    ...appDefaults,
    name: 'Before',
    redirectUris,
    origins,
    trusted: true,
    device: true,
  }
  const { id } = (await apps.add(before, 'test')).app
  const file = await makeBackup(t, place)
  const tightened = {
    redirectUris: ['https://app.example/return'],
    origins: [],
    trusted: false,
    device: false,
    dpop: 'required',
  } as const
  const { name } = before
  await apps.set(
    id,
    { name, ...tightened, redirectUris: [...tightened.redirectUris], origins: [] },
    'test',
  )
  await apps.add({ ...before, name: 'Newer' }, 'test')
  await first.stop()
  await putBack(place, file)
  const again = await place.start()
  t.match(await again.services.store.getApp(id), tightened)
  t.equal((await again.services.store.listApps()).length, 1, 'what a backup lacks is not in it')
})

t.test('what was under way is over, and what was used stays used', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  await connectMany(first, 2)
  const { store, bulks, deviceFlow, apps } = first.services
  const app = await apps.add(
    { ...appDefaults, name: 'Terminal', redirectUris: [], device: true },
    'test',
  )
  const { userCode } = await deviceFlow.start(app.app, { device: 'test', address: 'test' })
  t.ok(await deviceFlow.find(userCode))
  const id = await bulks.begin(['con_0'], 'cli')
  const file = await makeBackup(t, place)
  const expiresAt = place.clock.now() + 60_000
  t.equal(await store.useProof({ proofHash: 'hash', expiresAt }), true)
  await bulks.confirm(id, 'cli')
  await first.stop()
  await putBack(place, file)
  const { services } = await place.start()
  t.match(await services.bulks.find(id), { bulk: { status: 'cancelled' } })
  t.equal(await services.deviceFlow.find(userCode), undefined)
  t.equal(await services.store.useProof({ proofHash: 'hash', expiresAt }), false)
})

t.test('what was swept since, or never was, is not revived', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  await connectMany(first, 3)
  const file = await makeBackup(t, place)
  const { store, connections } = first.services
  await connections.revoke('con_0', 'test')
  place.clock.advance(31 * 86_400_000)
  await first.services.sweeper.sweep()
  t.equal(await store.getConnection('con_0'), undefined)
  await first.stop()
  await putBack(place, file)
  const again = await place.start()
  t.equal(await again.services.store.getConnection('con_0'), undefined)
  t.ok(await again.services.store.getConnection('con_1'))
})

const older = readdirSync(STORED).filter((name) => name.endsWith('.db.gz'))
for (const name of older) {
  t.test(
    `what was revoked in a store of ${name} stays so, before that was ever moved up`,
    async (t) => {
      const directory = temporaryFolder(t)
      const [path, file] = [join(directory, 'broker.db'), join(temporaryFolder(t), 'backup.db')]
      for (const each of [path, file])
        writeFileSync(each, gunzipSync(readFileSync(join(STORED, name))))
      const client = new Database(path)
      client.exec("update connections set status = 'revoked', revoked_at = 1 where id = 'con_0'")
      client.close()
      const config = { dataDir: directory, secrets: [new Secret(SECRET)] }
      const text = await restore(config, file, { acceptRevoked: false, clock: runtime.clock })
      t.match(text, /Restored 3 connections.*1 connections/s)
      const { store, admins, stop } = await startThen(directory)
      t.teardown(stop)
      t.match(await store.getConnection('con_0'), { status: 'revoked', refreshToken: null })
      t.match(await store.getConnection('con_2'), { status: 'active', restoredFrom: Number })
      t.match(await admins.list(), [{ email: EMAIL }])
    },
  )
}
