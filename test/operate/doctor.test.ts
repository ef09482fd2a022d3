import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Test } from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { runChecks } from '../../server/operate/doctor/doctor.ts'
import {
  judgeAccess,
  judgeFileSystem,
  judgeSpace,
} from '../../server/operate/doctor/data-checks.ts'
import { judgeClock } from '../../server/operate/doctor/upstream-checks.ts'
import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import { buildBroker } from '../helper.ts'
import { addSessionApp } from '../oauth/session/begin.ts'
import { buildHeadless, damage } from './headless.ts'
import { startIssuer } from '../oidc-issuer.ts'
import { createDatabase, noPostgres } from '../postgres.ts'
import { temporaryFolder } from '../temporary.ts'

const diagnose = async (env: Record<string, string>, used = runtime) => {
  const findings = await runChecks(loadConfig(env), used)
  return Object.fromEntries(findings.map(({ check, ...result }) => [check, result]))
}

t.test('a healthy broker has no problems', async (t) => {
  // On a disk: doctor reports a directory in memory as a problem.
  const broker = await buildBroker(t, { dataDir: t.testdir({}) })
  chmodSync(broker.dataDir, 0o700)
  const findings = await runChecks(loadConfig(broker.env), runtime)
  const others = findings.filter(({ status }) => status !== 'ok')
  t.same(
    others.filter(({ check }) => check !== 'disk space'),
    [],
  )
  t.match(await command(['doctor'], broker.env), { code: 0, stdout: /^No problems in/m })
  const { code, stdout } = await command(['doctor', '--json'], broker.env)
  t.equal(code, 0)
  t.match(JSON.parse(stdout), [{ check: 'data directory', status: 'ok', mend: null }])
})

t.test('with a base path the metadata are at both URLs', async (t) => {
  const broker = await buildBroker(t, { basePath: '/broker' })
  t.match(await diagnose(broker.env), {
    metadata: { status: 'ok' },
    'public URL': { status: 'ok' },
  })
})

t.test('the identity provider is checked', async (t) => {
  const issuer = await startIssuer(t)
  const env = { ...issuer.env, BROKER_DATA_DIR: temporaryFolder(t) }
  const check = async () => (await diagnose(env))['identity provider']
  t.match(await check(), { status: 'ok', finding: issuer.url })
  issuer.answers.metadata = { scopes_supported: ['openid', 'email'] }
  t.match(await check(), { status: 'warning', finding: 'it does not list the scope profile' })
  issuer.answers.metadata = { code_challenge_methods_supported: ['plain'] }
  t.match(await check(), { status: 'warning', finding: /PKCE/ })
  issuer.answers.metadata = { issuer: 'https://x.example' }
  t.match(await check(), { status: 'problem', fix: /exactly that: https:\/\/x.example/ })
  issuer.answers.metadata = { jwks_uri: `${issuer.url}/none` }
  t.match(await check(), { status: 'problem', finding: /its keys at/ })
  issuer.answers.outage = 502
  t.match(await check(), { status: 'problem', finding: /answers 502/ })
  issuer.stop()
  t.match(await check(), {
    status: 'problem',
    finding: /ECONNREFUSED/,
    fix: /with passwords, .*`admin add`/,
  })
  Object.assign(env, { BROKER_ADMIN_PASSWORDS: 'false' })
  t.match(await check(), { status: 'problem', fix: /sign in with a link of `admin add`/ })
})

t.test('each problem is found, with its fix', async (t) => {
  const broker = await buildBroker(t)
  const { env, dataDir, standIn } = broker
  chmodSync(dataDir, 0o755)
  t.match(await diagnose(env), { 'data directory': { status: 'problem', fix: /chmod 700/ } })
  chmodSync(dataDir, 0o700)
  if (process.getuid?.() !== 0) {
    chmodSync(join(dataDir, 'broker.db'), 0o400)
    t.match(await diagnose(env), { 'data directory': { status: 'problem', finding: /EACCES/ } })
    chmodSync(join(dataDir, 'broker.db'), 0o600)
  }
  chmodSync(join(dataDir, 'secret.key'), 0o200)
  t.match(await diagnose(env), {
    'data directory': {
      status: 'problem',
      finding: /secret\.key/,
      fix: /chmod 600|broker’s user/,
    },
  })
  chmodSync(join(dataDir, 'secret.key'), 0o600)
  const wrong = { ...env, ELLIPSIS_CLIENT_SECRET: 'wrong' }
  t.match(await diagnose(wrong), {
    'Ellipsis Drive': { status: 'problem', fix: /Developer settings/ },
  })
  const { ELLIPSIS_CLIENT_ID: id, ...without } = env
  t.ok(id)
  t.match(await diagnose(without), { 'Ellipsis Drive': { finding: /not set/ } })
  standIn.switches.errorShape = 'empty'
  t.match(await diagnose(env), { 'Ellipsis Drive': { status: 'warning', fix: /probe/ } })
  const unreachable = {
    ...env,
    ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:9',
  }
  t.match(await diagnose(unreachable), {
    'Ellipsis Drive': { status: 'problem', fix: /ELLIPSIS_API_URL/ },
    clock: { status: 'warning', finding: /not checked/ },
    'public URL': { status: 'problem', finding: /can’t be reached/ },
    metadata: { status: 'warning', finding: /not checked/, fix: 'Fix the problems above first.' },
  })
  const elsewhere = {
    ...env,
    BROKER_PUBLIC_URL: standIn === broker.standIn ? (env.ELLIPSIS_API_URL ?? '') : '',
  }
  t.match(await diagnose(elsewhere), {
    'public URL': { status: 'problem', finding: /answers 404/ },
  })
  const another = { ...env, BROKER_PUBLIC_URL: broker.url.replace('127.0.0.1', 'localhost') }
  t.match(await diagnose(another), { metadata: { finding: /another issuer/ } })
  const key = Buffer.alloc(32, 7).toString('base64url')
  t.match(await diagnose({ ...env, BROKER_SECRETS: key }), {
    'encryption keys': {
      finding: /BROKER_SECRETS lacks/,
      fix: /after a comma: the broker won’t start/,
    },
  })
  writeFileSync(join(dataDir, 'secret.key'), `${key}\n`)
  const { code, stdout, stderr } = await command(['doctor'], env)
  t.equal(code, 1)
  t.match(stdout, /PROBLEM {2}encryption keys: .*lacks the key/)
  t.match(stderr, /^Problems: \d/)
})

t.test('a damaged database and one of a newer version are reported', async (t) => {
  const { dataDir, env, start } = await buildHeadless(t)
  const broker = await start()
  await broker.stop()
  const path = join(dataDir, 'broker.db')
  const client = new Database(path)
  client.exec("insert into __drizzle_migrations (hash, created_at) values ('x', 9e15)")
  client.close()
  t.match(await diagnose(env), { database: { status: 'problem', fix: 'Use that version.' } })
  damage(path)
  const damaged = { finding: /it is damaged: NULL value/, fix: /restore the latest backup/ }
  t.match(await diagnose(env), { database: damaged })
  writeFileSync(path, 'no database')
  t.match(await diagnose(env), { database: { finding: /it is damaged: file is not/ } })
})

t.test('an empty file is not a broker’s database', async (t) => {
  const { dataDir, env } = await buildHeadless(t)
  writeFileSync(join(dataDir, 'broker.db'), '', { mode: 0o600 })
  t.match(await diagnose(env), {
    database: {
      status: 'problem',
      finding: /contains no data of this program/,
      fix: /restore the latest backup/,
    },
  })
})

t.test('a file that can’t be opened is named; one that was removed meanwhile is not', async (t) => {
  const { dataDir, env, start } = await buildHeadless(t)
  await (await start()).stop()
  chmodSync(dataDir, 0o700)
  symlinkSync(join(dataDir, 'gone'), join(dataDir, 'broker.db-gone'))
  t.match(await diagnose(env), { 'data directory': { status: 'ok' } })
  symlinkSync('secret.loop', join(dataDir, 'secret.loop'))
  t.match(await diagnose(env), {
    'data directory': { status: 'problem', finding: /secret\.loop.*ELOOP/ },
  })
})

t.test('a check that fails says what to do, with or without other problems', async (t) => {
  const { dataDir, env, start } = await buildHeadless(t, {}, t.testdir({}))
  await (await start()).stop()
  chmodSync(dataDir, 0o700)
  rmSync(join(dataDir, 'secret.key'))
  mkdirSync(join(dataDir, 'secret.key'), { mode: 0o700 })
  const keys = 'encryption keys'
  t.match(await diagnose(env), { [keys]: { finding: /EISDIR/, fix: /run `doctor` again/ } })
  writeFileSync(join(dataDir, 'broker.db'), 'no database')
  t.match(await diagnose(env), {
    [keys]: { status: 'warning', fix: 'Fix the problems above first.' },
  })
})

t.test('an app with sessions on another site is reported', async (t) => {
  const broker = await buildBroker(t)
  const { env } = broker
  const check = async (publicUrl: string) =>
    (await diagnose({ ...env, BROKER_PUBLIC_URL: publicUrl }))['sessions of apps']
  t.match(await check(broker.url), { status: 'ok', finding: /no app/ })
  const app = await addSessionApp(broker)
  t.match(await check(broker.url), { status: 'ok' })
  const moved = await check('http://localhost:9')
  t.match(moved, { status: 'warning', fix: /--session token/ })
  t.match(moved, { finding: new RegExp(`${app.id}.*127.0.0.1:5173`) })
})

const reportsEndpoints =
  (createEnv: (t: Test) => Promise<Record<string, string>>) => async (t: Test) => {
    const added = { BROKER_ON_EVENT: '/bin/true', ...(await createEnv(t)) }
    const broker = await buildBroker(t, { dataDir: temporaryFolder(t), env: added })
    const env = { ...broker.env, ...added }
    const { services } = broker
    const { webhooks, store, clock } = services
    const check = async (now = clock.now()) => {
      const found = await diagnose(env, { ...runtime, clock: { ...runtime.clock, now: () => now } })
      return found.webhooks
    }
    t.match(await check(), { status: 'ok', finding: 'no endpoints' })
    const add = (host: string) => {
      const url = `https://${host}/secret-path`
      return webhooks.add({ url, appId: null, types: [], signing: 'v1' }, 'test')
    }
    const { webhook } = await add('slow.example.com')
    await add('quick.example.com')
    const { webhook: disabled } = await add('gone.example.com')
    t.match(await check(), { status: 'ok', finding: 'endpoints: 3' })
    await webhooks.disableGone(disabled.id)
    const delivery = { eventId: 1, connectionId: null, createdAt: clock.now() }
    const late = [webhook.id, 'command', 'unknown'].map((sinkId) => ({ ...delivery, sinkId }))
    await store.replayDeliveries(late, [])
    const now = await check()
    t.match(now, { status: 'warning', finding: /gone.example.com\) is disabled: .*410/ })
    t.notMatch(now?.finding, 'undelivered')
    const later = await check(clock.now() + 3_600_000)
    t.match(later, { fix: /webhook deliveries ID/ })
    t.match(
      later?.finding,
      `${webhook.id} (slow.example.com) has 1 undelivered event, the oldest since`,
    )
    t.match(later?.finding, 'command has 1 undelivered event')
    t.notMatch(later?.finding, /quick|secret-path|unknown/)
    const { BROKER_ON_EVENT: _program, ...without } = env
    t.notMatch((await diagnose(without)).webhooks?.finding, 'command')
  }

t.test(
  'endpoints that get no events are reported',
  reportsEndpoints(async () => ({})),
)

t.test(
  'endpoints that get no events are reported on PostgreSQL',
  { skip: noPostgres },
  reportsEndpoints(async (t) => ({ BROKER_DATABASE_URL: await createDatabase(t) })),
)

t.test('a program that can’t be run is reported', async (t) => {
  const { env, dataDir } = await buildHeadless(t)
  const ofProgram = async (program: string) =>
    (await diagnose({ ...env, BROKER_ON_EVENT: program })).BROKER_ON_EVENT
  t.match(await ofProgram('/bin/true'), { status: 'ok', finding: '/bin/true' })
  t.match(await ofProgram('/nowhere'), { status: 'problem', finding: '/nowhere does not exist' })
  const text = join(dataDir, 'program')
  writeFileSync(text, '', { mode: 0o600 })
  t.match(await ofProgram(text), { status: 'problem', finding: `${text} is not executable` })
  t.match((await diagnose(env)).BROKER_ON_EVENT, { status: 'ok', finding: 'not set' })
})

t.test('a proxy that does not forward the callback is reported', async (t) => {
  const { env } = await buildHeadless(t)
  const proxy =
    (status: number) =>
    async (...[url]: Parameters<typeof fetch>) =>
      new Response('', { status: (url as string).endsWith('/healthz') ? 200 : status })
  t.match(await diagnose(env, { ...runtime, fetch: proxy(404) }), {
    'public URL': { status: 'problem', finding: /callback .*status 404/, fix: /every path/ },
  })
  t.match(await diagnose(env, { ...runtime, fetch: proxy(503) }), {
    'public URL': { status: 'problem', finding: /answers 503/, fix: /log of the broker/ },
  })
})

t.test('an API that accepts any token is not Ellipsis Drive', async (t) => {
  const { env } = await buildHeadless(t)
  const acceptAll = async () =>
    Response.json({ access_token: 'a', refresh_token: 'b', expires_in: 60 })
  t.match(await diagnose(env, { ...runtime, fetch: acceptAll }), {
    'Ellipsis Drive': {
      status: 'warning',
      finding: /made-up refresh token/,
      fix: 'Check ELLIPSIS_API_URL.',
    },
  })
})

t.test('an empty directory is reported', async (t) => {
  const found = await diagnose({
    BROKER_DATA_DIR: temporaryFolder(t),
    BROKER_PORT: '0',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:9',
    ELLIPSIS_API_URL: 'http://127.0.0.1:9',
  })
  t.match(found, {
    'data directory': { status: 'problem', finding: /no database/ },
    database: { status: 'warning', finding: /not checked/ },
    'encryption keys': { status: 'warning' },
    'second factors': { status: 'warning' },
    'sessions of apps': { status: 'warning' },
    'running brokers': { status: 'warning' },
    webhooks: { status: 'warning', finding: /not checked/ },
  })
})

t.test('access, file systems, disk space and clocks are judged', async (t) => {
  t.match(judgeAccess('/data', 'EROFS'), { status: 'problem', fix: /Mount it/ })
  t.match(judgeAccess('/data', 'EACCES'), { status: 'problem', fix: /broker’s user/ })
  t.match(judgeFileSystem(0xef53), { status: 'ok' })
  t.match(judgeFileSystem(0x6969), { status: 'problem', finding: /NFS/ })
  t.match(judgeFileSystem(0xff534d42 | 0), { status: 'problem', finding: /CIFS/ })
  t.match(judgeFileSystem(0x01021994), { status: 'problem', finding: /tmpfs/ })
  t.match(judgeFileSystem(0x794c7630), { status: 'warning' })
  t.match(judgeSpace(50e6, 0), { status: 'problem' })
  t.match(judgeSpace(5e9, 3e9), { status: 'warning' })
  t.match(judgeSpace(5e9, 1e9), { status: 'ok' })
  const now = Date.UTC(2026, 6, 1)
  const date = new Date(now).toUTCString()
  t.match(judgeClock(date, now + 9000), { status: 'ok' })
  t.match(judgeClock(date, now + 30_000), { status: 'warning', finding: /30 s ahead/ })
  t.match(judgeClock(date, now - 90_000), { status: 'problem', finding: /90 s behind/ })
  t.match(judgeClock(null, now), { status: 'warning' })
})
