import { randomBytes } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import { Secret as OtpSecret, TOTP } from 'otpauth'
import t from 'tap'
import { checkSealed } from '../../server/crypto/reseal.ts'
import { newKey } from '../../server/data/secret-key.ts'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import { Secret } from '../../server/secret.ts'
import { EMAIL, SECRET, startThen } from '../db/stored/setting.ts'
import { NOW, newPasskey } from '../db/rows.ts'
import { newLink } from '../db/contract/links.ts'
import { connectMany } from './load.ts'
import type { Headless } from './load.ts'
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

t.test('accounts at the identity provider stay as they were before a restore', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const { store } = first.services
  const oidc = (oidcSubject: string) => ({
    ...{ oidcIssuer: 'https://id.example', oidcSubject, oidcLabel: oidcSubject },
  })
  for (const [name, subject] of ['ada', 'bob', 'eve'].map((name) => [name, name] as const)) {
    const admin = {
      id: name,
      email: name,
      passwordHash: '',
      role: 'admin',
      createdAt: NOW,
    } as const
    await store.addAdmin({ ...admin, ...oidc(subject) }, { events: [] })
  }
  const file = await makeBackup(t, setup)
  const link = async (name: string, to: object) => {
    const admin = await store.findAdmin(name)
    if (admin) await store.updateAdmin(admin, { ...admin, ...to }, { events: [] })
  }
  const none = { oidcIssuer: null, oidcSubject: null, oidcLabel: null }
  await link('eve', none)
  await link('ada', none)
  await link('bob', { ...oidc('ada'), role: 'viewer' })
  await link('ada', oidc('bob'))
  await first.stop()
  await restoreBackup(setup, file)
  const again = await setup.start()
  t.match(await again.services.store.listAdmins(), [
    { email: 'ada', oidcSubject: 'bob', role: 'admin' },
    { email: 'bob', oidcSubject: 'ada', role: 'viewer' },
    { email: 'eve', oidcSubject: null, oidcIssuer: null },
  ])
})

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
  const { userCode } = await deviceFlow.start(app.app, {
    ...{ device: 'test', address: 'test', network: 'test', scope: 'projects' },
  })
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

t.test('a restore keeps links as they are now', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await connectMany(first, 2)
  const { store } = first.services
  const [grant] = await store.listGrants('con_0')
  const [, expiresAt] = [t.ok(grant), first.services.clock.now() + DAY_MS]
  const add = (id: string) =>
    store.addLink(newLink(id, { grantId: grant?.id ?? '', expiresAt }), { max: 9, events: [] })
  for (const id of ['kept', 'revoked']) await add(id)
  const file = await makeBackup(t, setup)
  await store.deleteLink('revoked', [])
  await add('added')
  await first.stop()
  await restoreBackup(setup, file)
  const { services } = await setup.start()
  t.equal(await services.store.getLinkState('hash of revoked'), undefined)
  for (const id of ['kept', 'added']) t.match(await services.store.getLink(id), { id })
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
      const text = await restore(config, file, { acceptRevoked: false, ...runtime })
      t.match(text, /Restored 3 connections.*connections revoked: 1/s)
      const { store, admins, stop } = await startThen(directory)
      t.teardown(stop)
      t.match(await store.getConnection('con_0'), { status: 'revoked', refreshToken: null })
      t.match(await store.getConnection('con_2'), { status: 'active', restoredFrom: Number })
      t.match(await admins.list(), [{ email: EMAIL }])
    },
  )
}

/** Sets up a second factor. Returns a function that makes a code. */
async function addFactor({ services }: Headless, email: string) {
  const { secondFactors, store, clock } = services
  const admin = await store.findAdmin(email)
  if (!admin) throw new Error(`${email} is missing`)
  const proposal = await secondFactors.propose(admin)
  const secret = OtpSecret.fromBase32(proposal?.secret.reveal() ?? '')
  const code = () => new TOTP({ secret }).generate({ timestamp: clock.now() })
  if (!(await secondFactors.confirm(admin, code(), '::1'))) throw new Error('not confirmed')
  return code
}

const PASSWORD = new Secret('a long enough password')
const [ADDED, CHANGED, REMOVED] = ['added@x.example', 'changed@x.example', 'removed@x.example']

t.test('a restore keeps second factors that were added or changed since the backup', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const { admins, secondFactors } = first.services
  for (const email of [ADDED, CHANGED, REMOVED]) await admins.add(email, PASSWORD, 'test')
  const before = await addFactor(first, CHANGED)
  await addFactor(first, REMOVED)
  const file = await makeBackup(t, setup)
  // A key that the backup does not know seals what comes now.
  const keyFile = join(setup.dataDir, 'secret.key')
  await secondFactors.drop(REMOVED, 'test')
  await secondFactors.drop(CHANGED, 'test')
  await first.stop()
  writeFileSync(keyFile, `${newKey(randomBytes).reveal()}\n${readFileSync(keyFile, 'utf8')}`)
  const second = await setup.start()
  setup.clock.advance(60_000)
  const codes = [await addFactor(second, ADDED), await addFactor(second, CHANGED)]
  await second.stop()

  const text = await restoreBackup(setup, file)
  t.match(text, 'second factors added or changed: 2')
  t.notMatch(text, 'only a password')
  const again = await setup.start()
  setup.clock.advance(60_000)
  const { services } = again
  for (const [index, email] of [ADDED, CHANGED].entries()) {
    const admin = await services.store.findAdmin(email)
    if (!admin) throw new Error(`${email} is missing`)
    t.ok(admin.secondFactorSince, `${email} can’t sign in with only a password`)
    t.equal(await services.secondFactors.use(admin, before(), '::1'), false)
    t.equal(await services.secondFactors.use(admin, codes[index]?.() ?? '', '::1'), true)
  }
  t.match(await services.store.findAdmin(REMOVED), { secondFactorSince: null })
  t.equal((await checkSealed(services, () => undefined)).failed, 0)
  await again.stop()
  // The key of the kept factors is now one of the store's keys.
  writeFileSync(keyFile, readFileSync(keyFile, 'utf8').split('\n').slice(1).join('\n'))
  await t.rejects(setup.start(), /a key that is missing/)
})

t.test('a second factor that a restore loses is printed and recorded', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await first.services.admins.add(ADDED, PASSWORD, 'test')
  const file = await makeBackup(t, setup)
  await first.stop()
  const keyFile = join(setup.dataDir, 'secret.key')
  const oldKey = readFileSync(keyFile, 'utf8')
  writeFileSync(keyFile, `${newKey(randomBytes).reveal()}\n${oldKey}`)
  const second = await setup.start()
  await addFactor(second, ADDED)
  await second.stop()
  // The new key is lost.
  writeFileSync(keyFile, oldKey)
  t.match(await restoreBackup(setup, file), `sign in with only a password now: ${ADDED}`)
  const third = await setup.start()
  const events = async ({ services }: Headless) =>
    (await services.store.listEvents({ limit: 20 })).rows
  const removed = { action: 'admin.second_factor_removed', details: new RegExp(ADDED) }
  t.match(
    (await events(third)).filter(({ action }) => action === removed.action),
    [removed],
  )
  t.match(await third.services.store.findAdmin(ADDED), { secondFactorSince: null })

  // The same for a store that did not develop from the backup.
  await addFactor(third, ADDED)
  await third.stop()
  const path = join(setup.dataDir, 'broker.db')
  const client = new Database(path)
  client.exec("update meta set value = 'another' where key = 'store_id'")
  client.close()
  t.match(
    await restoreBackup(setup, file, { acceptRevoked: true }),
    `sign in with only a password now: ${ADDED}`,
  )
  const found = await events(await setup.start())
  t.match(
    found.filter(({ action }) => action === removed.action),
    [removed],
  )
  t.match(
    found.find(({ action }) => action === 'store.restored'),
    { details: /passwords, roles and second factors since then are not known/ },
  )
})
