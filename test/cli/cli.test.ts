import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { startServices } from '../../server/services.ts'
import { runtime } from '../../server/runtime.ts'
import { answering, command } from '../command.ts'
import { RETURN } from '../helper.ts'
import { migratedFolder } from '../db/temporary.ts'
import { temporaryFolder } from '../temporary.ts'

t.test('apps: add, list, show, set, rotate-secret, remove', async (t) => {
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await command([...args, '--json'], env)
    if (code !== 0) t.fail(stderr)
    return JSON.parse(stdout) as Record<string, unknown>
  }
  const added = await command(['app', 'add', 'My map', '--redirect-uri', RETURN], env)
  t.equal(added.code, 0)
  const id = /client_id\s+(app_\S+)/.exec(added.stdout)?.[1] ?? ''
  t.match(added.stdout, `/connect/${id}`)
  t.notMatch(added.stdout, 'client_secret')
  t.match(await json('app', 'show', id), {
    name: 'My map',
    type: 'public',
    origins: ['https://app.example.com'],
    token_lifetime: '30d',
    grant_lifetime: '90d',
  })
  t.match(added.stdout, `ellipsis-broker app set ${id} --dpop required`)
  t.match(await json('app', 'set', id, '--grant-lifetime', 'off'), { grant_lifetime: 'off' })
  t.match(await json('app', 'set', id, '--grant-lifetime', '7d'), { grant_lifetime: '7d' })
  const shown = await command(['app', 'show', id], env)
  t.match(shown.stdout, /redirect_uris\s+https:\/\/app/)
  t.match(await json('app', 'set', id, '--name', 'Other', '--token-lifetime', '12h', '--trusted'), {
    name: 'Other',
    token_lifetime: '12h',
    trusted: true,
  })
  const moved = await json('app', 'set', id, '--redirect-uri', 'https://moved.example/x')
  t.match(moved, { origins: ['https://moved.example'] }, 'derived origins follow')
  t.match(await json('app', 'set', id, '--name', ' \u200bO\u202ether '), { name: 'Other' })
  t.match(await json('app', 'set', id, '--tokens', 'ellipsis'), { tokens: 'ellipsis' })
  t.match(await json('app', 'set', id, '--tokens', 'broker', '--dpop', 'required'), {
    tokens: 'broker',
    dpop: 'required',
  })
  t.match(await json('app', 'set', id, '--no-trusted', '--origin', 'https://x.example'), {
    trusted: false,
    origins: ['https://x.example'],
  })

  const secretApp = await command(
    ['app', 'add', 'Server', '--confidential', '--redirect-uri', RETURN],
    env,
  )
  const serverId = /client_id\s+(app_\S+)/.exec(secretApp.stdout)?.[1] ?? ''
  t.match(secretApp.stdout, /client_secret\s+\S{43}/)
  t.match(secretApp.stdout, '/oauth/authorize\n')
  t.notMatch(secretApp.stdout, '/connect/', 'a plain link begins no grant')
  t.match(await command(['app', 'rotate-secret', serverId], env), {
    stdout: /accepted for 7d more/,
  })
  t.match(await json('app', 'rotate-secret', serverId, '--overlap', '45s'), {
    client_secret: String,
  })
  t.match(await json('app', 'show', serverId), { live_secrets: 2 })
  const client = new Database(join(env.BROKER_DATA_DIR, 'broker.db'))
  client.exec("update apps set secrets = json_set(secrets, '$[0].expiresAt', 1) where confidential")
  client.close()
  t.match(await json('app', 'show', serverId), { live_secrets: 1 }, 'an expired one does not count')
  const third = await json('app', 'add', 'Third', '--confidential', '--redirect-uri', RETURN)
  t.type(third.client_secret, 'string')
  t.match(await command(['app', 'list'], env), { stdout: /CLIENT ID.*\n.*Other|Server/s })
  t.equal(((await json('app', 'list')) as unknown as []).length, 3)

  t.match(await command(['app', 'remove', id], env), { code: 0, stdout: /refused from now on/ })
  t.match(await command(['app', 'remove', id], env), { code: 2, stderr: /no app/ })
})

t.test('rules and limits of an app are replaced, added to and removed', async (t) => {
  const env = { BROKER_DATA_DIR: await migratedFolder(t) }
  const app = async (...args: string[]) => {
    const { code, stdout, stderr } = await command(['app', ...args, '--json'], env)
    if (code !== 0) t.fail(stderr)
    return JSON.parse(stdout) as Record<string, unknown>
  }
  const limits = ['--requests-per-minute', '600', '--requests-per-day', '10000']
  const [one, two, three] = ['GET /path/*/raster/**', 'GET /account', 'POST /path/*']
  const first = ['--access', 'proxy', '--allow', one, two, ...limits]
  const added = await app('add', 'Map', '--redirect-uri', RETURN, ...first)
  const id = String(added.client_id)
  t.match(added, { access: 'proxy', requests_per_minute: 600, requests_per_day: 10_000 })
  t.strictSame(added.allow, [one, two])
  t.strictSame((await app('set', id, '--allow', three)).allow, [three])
  t.strictSame((await app('set', id, '--allow', one, three, '--add')).allow, [three, one])
  t.strictSame((await app('set', id, '--name', 'Other')).allow, [three, one])
  const shown = await command(['app', 'show', id], env)
  t.match(shown.stdout, /^allow +POST \/path\/\*\n +GET \/path\/\*\/raster/m)
  t.match(shown.stdout, /^requests_per_minute 600$/m)
  t.strictSame((await app('set', id, '--no-allow', '--add')).allow, [])
  t.match(await app('set', id, '--requests-per-minute', 'off'), {
    requests_per_minute: 'off',
    requests_per_day: 10_000,
  })
  for (const [args, problem] of [
    [['--allow', 'get /x'], /Rule “get \/x”: Write METHOD/],
    [['--requests-per-day', '0'], /between 1 and/],
    [['--requests-per-day', 'many'], /many is not a number/],
    [['--access', 'token', '--read-only'], /need access through the proxy/],
  ] as const) {
    t.match(await command(['app', 'set', id, ...args], env), { code: 2, stderr: problem })
  }
})

t.test('apps with the device flow need no redirect URI', async (t) => {
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const added = await command(['app', 'add', 'Night job', '--device', '--json'], env)
  t.match(JSON.parse(added.stdout), { device: true, redirect_uris: [] })
  const second = await command(['app', 'add', 'Night job', '--device'], env)
  t.match(second, { code: 0, stdout: /Device page .*\/device/ })
  const id = /client_id\s+(app_\S+)/.exec(second.stdout)?.[1] ?? ''
  t.match(await command(['app', 'set', id, '--no-device'], env), { stderr: /redirect URI/ })
})

t.test('wrong usage exits with 2 and says what to do', async (t) => {
  const env = { BROKER_DATA_DIR: await migratedFolder(t) }
  const cases: [string[], RegExp][] = [
    [['conection'], /Did you mean connection/],
    [['app', 'add', 'X'], /--redirect-uri/],
    [['app', 'add', 'X', '--redirect-uri', 'http://x.example/'], /https/],
    [['app', 'add', '', '--redirect-uri', 'nonsense', '--origin', '*'], /name.*URI.*Origin/s],
    [['app', 'add', 'X', '--redirect-uri', RETURN, '--token-lifetime', '1y'], /duration/],
    [['app', 'add', 'X', '--redirect-uri', RETURN, '--token-lifetime', '1s'], /a minute/],
    [['app', 'add', 'X', '--redirect-uri', RETURN, '--grant-lifetime', 'never'], /duration/],
    [['app', 'add', 'X', '--redirect-uri', RETURN, '--grant-lifetime', '1s'], /a minute/],
    [
      ['app', 'add', 'X', '--redirect-uri', RETURN, '--deliver', 'fragment', '--confidential'],
      /public apps/,
    ],
    [['app', 'show', 'app_x'], /no app/],
    [['connection', 'show', 'con_x'], /no connection/],
    [['connection', 'refresh', 'con_x'], /ELLIPSIS_CLIENT_ID is not set/],
    [['admin', 'add', 'nonsense', '--password-stdin'], /e-mail/],
    [['admin', 'add', 'a@example.com'], /--password-stdin/],
    [['admin', 'remove', 'a@example.com'], /no admin/],
    [['admin', 'reset-password', 'a@example.com', '--password-stdin'], /no admin/],
    [['key', 'revoke', 'x'], /There is no key x, or it is already revoked/],
    [['demo', '--port', 'x'], /--port/],
    [['serve'], /ELLIPSIS_CLIENT_SECRET is not set/],
    [['serve', '--accept-client-change'], /ELLIPSIS_CLIENT_SECRET is not set/],
    [['connection', 'import', '/dev/null'], /ELLIPSIS_CLIENT_SECRET is not set/],
    [['admin', 'remove-second-factor', 'a@example.com'], /with a second factor/],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await command(args, env, 'a long enough password')
    t.equal(code, 2, args.join(' '))
    t.match(stderr, message)
  }
  t.match(await command(['--version'], env), { code: 0, stdout: /Node\.js v/ })
  t.match(await command(['--help'], env), { code: 0, stdout: /Examples/ })
  const add = ['app', 'add', 'X', '--redirect-uri', RETURN]
  const broken = await command(add, { BROKER_DATA_DIR: 'a\0b' })
  t.match(
    broken,
    { code: 1, stderr: /null bytes.*\n {4}at /s },
    'an unexpected error prints its stack',
  )
})

t.test('admins: add, list, reset-password, remove', async (t) => {
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const password = 'correct horse battery'
  const add = ['admin', 'add', 'Ada@Example.com', '--password-stdin']
  t.match(await command(add, env, 'short'), { code: 2, stderr: /12 to 1024/ })
  t.match(await command(add, env, password), { code: 0, stdout: /Added admin ada@example.com/ })
  t.match(await command(add, env, password), { code: 2, stderr: /already/ })
  t.match(await command(['admin', 'list', '--json'], env), { stdout: /"email": "ada@example.com"/ })
  const reset = ['admin', 'reset-password', 'ada@example.com', '--password-stdin']
  t.match(await command(reset, env, `${password}\n`), { code: 0, stdout: /Changed the password/ })
  t.match(await command(['admin', 'remove', 'ada@example.com'], env), {
    code: 0,
    stdout: /Removed/,
  })
})

t.test('a password is prompted for twice and not shown', async (t) => {
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const [password, another] = ['correct horse battery', 'another horse battery']
  const add = ['admin', 'add', 'ada@example.com']
  const differ = await command(
    add,
    env,
    answering({ 'Password: ': password, 'Repeat password: ': another }),
  )
  t.match(differ, { code: 2, stderr: 'The passwords do not match.' })
  const same = await command(
    add,
    env,
    answering({ 'Password: ': password, 'Repeat password: ': password }),
  )
  t.match(same, { code: 0, stdout: 'Added admin ada@example.com.' })
  t.notMatch(same.stdout + same.stderr, password)
  t.match(await command(['admin', 'list'], env), { stdout: /^EMAIL.*\nada@example.com +admin +no/ })
})

t.test('rotating to a key that was published long ago prints no warning', async (t) => {
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const before = { ...runtime.clock, now: () => Date.now() - 100 * 3_600_000 }
  const options = { runtime: { ...runtime, clock: before } }
  await (await startServices(loadConfig(env), createLog({ logLevel: 'silent' }), options)).stop()
  t.match(await command(['key', 'rotate'], env), {
    code: 0,
    stdout: /The previous key stays published/,
  })
})

t.test('signing keys: list, rotate, revoke', async (t) => {
  const env = { BROKER_DATA_DIR: await migratedFolder(t) }
  const list = await command(['key', 'list'], env)
  t.match(list.stdout, /KID.*active/s)
  const { stdout } = await command(['key', 'list', '--json'], env)
  const keys = JSON.parse(stdout) as { kid: string; status: string }[]
  const key = keys.find(({ status }) => status === 'active')
  t.match(await command(['key', 'rotate'], env), {
    code: 0,
    stdout: /published only since .*cache/s,
  })
  t.match(await command(['key', 'list'], env), { stdout: /retired .*Z .*Z .*Z$/m })
  t.match(await command(['key', 'revoke', key?.kid ?? ''], env), { code: 0, stdout: /Revoked/ })
})
