import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import { appDefaults } from '../../server/oauth/apps.ts'
import { Secret } from '../../server/secret.ts'
import { EMAIL, SECRET, startThen } from '../db/stored/setting.ts'
import { NOW, newPasskey } from '../db/rows.ts'
import { connectMany } from './load.ts'
import { restore } from '../../server/operate/restore.ts'
import { runtime } from '../../server/runtime.ts'
import { buildHeadless, makeBackup, restoreBackup, swapOutcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

/** Stores of every schema version. */
const STORED = join(import.meta.dirname, '../db/stored')

const DAY_MS = 86_400_000

t.test(
  'after a restore a superseded broker token stays superseded, and its successor valid',
  async (t) => {
    const setup = await buildHeadless(t)
    const first = await setup.start()
    const devices = await connectMany(first, 3)
    const tokens = devices.map(({ token }) => token)
    for (const token of tokens) t.equal(await swapOutcome(first, token), 'ok')
    const file = await makeBackup(t, setup)
    await first.services.keys.rotate('test')
    setup.clock.advance(16 * DAY_MS)
    const renewed: string[] = []
    for (const brokerToken of tokens.slice(0, 2)) {
      const answer = await first.services.swap.swap({ brokerToken, client: null, proof: null })
      renewed.push(answer.renewed?.token ?? '')
      t.equal(await swapOutcome(first, renewed.at(-1) ?? ''), 'ok')
    }
    setup.clock.advance(6 * 60_000)
    await first.stop()
    await restoreBackup(setup, file)
    const again = await setup.start()
    t.equal(await swapOutcome(again, renewed[0] ?? ''), 'ok', 'the user need not connect again')
    t.equal(
      await swapOutcome(again, tokens[1] ?? ''),
      'token_refused',
      'the previous token, used too late',
    )
    t.equal(await swapOutcome(again, renewed[1] ?? ''), 'token_refused', 'which ends the grant')
    t.equal(await swapOutcome(again, tokens[2] ?? ''), 'ok', 'a token that was never renewed')
  },
)

t.test('after a restore an app keeps its current permissions', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
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
  const file = await makeBackup(t, setup)
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
  await restoreBackup(setup, file)
  const again = await setup.start()
  t.match(await again.services.store.getApp(id), tightened)
  t.equal(
    (await again.services.store.listApps()).length,
    1,
    'an app added since the backup is gone',
  )
})

t.test('after a restore pending flows are cancelled, and used proofs stay used', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await connectMany(first, 2)
  const { store, bulks, deviceFlow, apps } = first.services
  const app = await apps.add(
    { ...appDefaults, name: 'Terminal', redirectUris: [], device: true },
    'test',
  )
  const { userCode } = await deviceFlow.start(app.app, { device: 'test', address: 'test' })
  t.ok(await deviceFlow.find(userCode))
  const id = await bulks.begin(['con_0'], 'cli')
  const file = await makeBackup(t, setup)
  const expiresAt = setup.clock.now() + 60_000
  t.equal(await store.useProof({ proofHash: 'hash', expiresAt }), true)
  await bulks.confirm(id, 'cli')
  await first.stop()
  await restoreBackup(setup, file)
  const { services } = await setup.start()
  t.match(await services.bulks.find(id), { bulk: { status: 'cancelled' } })
  t.equal(await services.deviceFlow.find(userCode), undefined)
  t.equal(await services.store.useProof({ proofHash: 'hash', expiresAt }), false)
})

t.test('a restore keeps passkeys as they are now', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const { store, admins } = first.services
  const password = new Secret('correct horse battery staple')
  const { id: adminId } = await admins.add('ada@example.com', password, 'test')
  const [used, removed] = [newPasskey('used', { adminId }), newPasskey('removed', { adminId })]
  for (const passkey of [used, removed]) await store.updatePasskey(null, passkey, [])
  const file = await makeBackup(t, setup)
  const now = { ...used, counter: 9, lastUsedAt: NOW }
  const added = newPasskey('added', { adminId })
  t.equal(await store.updatePasskey(used, now, []), true)
  t.equal(await store.updatePasskey(removed, null, []), true)
  t.equal(await store.updatePasskey(null, added, []), true)
  const { id: newerId } = await admins.add('new@example.com', password, 'test')
  await store.updatePasskey(null, newPasskey('newer', { adminId: newerId }), [])
  await first.stop()
  await restoreBackup(setup, file)
  const { services } = await setup.start()
  t.strictSame(await services.store.listPasskeys(adminId), [added, now])
  t.equal(await services.store.findPasskey('newer'), undefined, 'its admin is gone')
})

t.test('a restore does not revive deleted connections', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await connectMany(first, 3)
  const file = await makeBackup(t, setup)
  const { store, connections } = first.services
  await connections.revoke('con_0', 'test')
  setup.clock.advance(31 * DAY_MS)
  await first.services.sweeper.sweep()
  t.equal(await store.getConnection('con_0'), undefined)
  await first.stop()
  await restoreBackup(setup, file)
  const again = await setup.start()
  t.equal(await again.services.store.getConnection('con_0'), undefined)
  t.ok(await again.services.store.getConnection('con_1'))
})

const older = readdirSync(STORED).filter((name) => name.endsWith('.db.gz'))
for (const name of older) {
  t.test(
    `revocations in a store of ${name} are kept, although it was never migrated`,
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
