import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect, parseEnv } from 'node:util'
import t from 'tap'
import { ConfigError, loadConfig, readEnvironment } from '../../server/config/config.ts'
import { formatEnvExample, settings } from '../../server/config/settings.ts'
import { temporaryFolder } from '../temporary.ts'

const client = { ELLIPSIS_CLIENT_ID: 'the-client', ELLIPSIS_CLIENT_SECRET: 'hush' }
const key = Buffer.alloc(32, 1).toString('base64url')
const other = Buffer.alloc(32, 2).toString('base64url')

/** The error for these settings, and its problems as `NAME problem`. */
function loadInvalid(env: NodeJS.ProcessEnv, options?: Parameters<typeof loadConfig>[1]) {
  try {
    loadConfig(env, options)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { error, list: error.problems.map(({ name, problem }) => `${name} ${problem}`) }
  }
  throw new Error('all settings are valid')
}

t.test('two settings are enough to serve', async (t) => {
  const config = loadConfig(client, { serve: true })
  const { clientSecret, ...ellipsis } = config.ellipsis
  t.equal(clientSecret.reveal(), 'hush')
  t.strictSame(
    { ...config, ellipsis },
    {
      ellipsis: {
        clientId: 'the-client',
        apiUrl: 'https://api.ellipsis-drive.com/v3',
        webUrl: 'https://app.ellipsis-drive.com',
        tokenRequest: 'form',
        accessTokenLifetimeSeconds: 3600,
      },
      publicUrl: 'http://127.0.0.1:3000',
      basePath: '',
      callbackUrl: 'http://127.0.0.1:3000/callback',
      host: '127.0.0.1',
      port: 3000,
      workers: null,
      tls: null,
      dataDir: join(process.cwd(), 'data'),
      database: null,
      nativeDir: null,
      secrets: null,
      trustProxy: [],
      metricsToken: null,
      metricsPort: null,
      proxy: null,
      logLevel: 'info',
      minTtlSeconds: 60,
      eventDays: 400,
      cache: null,
      connectionLimits: { requestsPerMinute: null, requestsPerDay: null },
      failureLimit: 300,
      uploadLimitBytes: 10 * 1024 ** 3,
      onEvent: null,
      jwksAllow: [],
      webhookAllow: [],
      offlineRefreshesPerSecond: 10,
      requireSecondFactor: false,
      adminPasswords: true,
      adminOidc: null,
      operator: { name: null, contact: null, privacyUrl: null },
      warnings: [],
    },
  )
})

t.test('the identity provider of admins', async (t) => {
  const oidc = {
    BROKER_ADMIN_OIDC_ISSUER: 'https://ID.example.com/',
    BROKER_ADMIN_OIDC_CLIENT_ID: 'broker',
    BROKER_ADMIN_OIDC_CLIENT_SECRET: 'hush',
    BROKER_ADMIN_OIDC_ADMIN_VALUES: 'ops, /staff/boss,',
  }
  const { adminOidc } = loadConfig(oidc)
  t.match(adminOidc, {
    ...{ issuer: 'https://id.example.com', clientId: 'broker', scope: 'openid profile email' },
    ...{ roleClaim: 'groups', adminValues: ['ops', '/staff/boss'], viewerValues: [], proxy: null },
  })
  t.equal(adminOidc?.clientSecret.reveal(), 'hush')
  const issuerOf = (BROKER_ADMIN_OIDC_ISSUER: string) =>
    loadConfig({ ...oidc, BROKER_ADMIN_OIDC_ISSUER }).adminOidc?.issuer
  t.equal(issuerOf('https://id.example.com/app/x/'), 'https://id.example.com/app/x/')
  t.equal(issuerOf('http://127.0.0.1:9000/realms/a'), 'http://127.0.0.1:9000/realms/a')

  const problemsOf = (env: Record<string, string>) => loadInvalid(env).list
  const { BROKER_ADMIN_OIDC_ISSUER, ...rest } = oidc
  t.match(problemsOf(rest), [/^BROKER_ADMIN_OIDC_ISSUER is not set, but .*CLIENT_ID is/])
  t.equal(problemsOf({ BROKER_ADMIN_OIDC_ISSUER }).length, 3)
  for (const invalid of ['id.example.com', 'http://id.example.com', 'https://id.example.com/?x'])
    t.match(problemsOf({ ...oidc, BROKER_ADMIN_OIDC_ISSUER: invalid }), [/OIDC_ISSUER/], invalid)
  t.match(problemsOf({ ...oidc, BROKER_ADMIN_OIDC_SCOPE: 'profile' }), [/not contain openid/])
  t.match(problemsOf({ BROKER_ADMIN_PASSWORDS: 'false' }), [/but BROKER_ADMIN_OIDC_ISSUER is not/])
  t.equal(loadConfig({ ...oidc, BROKER_ADMIN_PASSWORDS: 'false' }).adminPasswords, false)
  t.equal(problemsOf({ ...oidc, HTTPS_PROXY: 'ftp://x' }).length, 1, 'one variable, one problem')

  const HTTPS_PROXY = 'http://proxy.example.com:3128'
  const proxies = (NO_PROXY: string) => {
    const config = loadConfig({ ...oidc, HTTPS_PROXY, NO_PROXY })
    return [config.proxy !== null, config.adminOidc?.proxy !== null]
  }
  t.strictSame(proxies(''), [true, true])
  t.strictSame(proxies('id.example.com'), [true, false])
  t.strictSame(proxies('api.ellipsis-drive.com'), [false, true])
})

t.test('every setting is read', async (t) => {
  const config = loadConfig({
    ...client,
    ELLIPSIS_API_URL: 'https://api.example.com/v3/',
    ELLIPSIS_WEB_URL: 'https://web.example.com/',
    ELLIPSIS_TOKEN_REQUEST: 'json',
    ELLIPSIS_ACCESS_TOKEN_LIFETIME: '600',
    BROKER_PUBLIC_URL: 'https://Example.com:443/broker/',
    BROKER_HOST: '::',
    BROKER_PORT: '8080',
    BROKER_DATA_DIR: '/srv/broker',
    BROKER_SECRETS: `${key}, ${other}`,
    BROKER_TRUST_PROXY: '10.0.0.0/8, ::1',
    BROKER_METRICS_TOKEN: 'scrape-me',
    BROKER_METRICS_PORT: '9464',
    BROKER_LOG_LEVEL: 'debug',
    BROKER_MIN_TTL: '120',
    BROKER_EVENT_DAYS: '30',
    BROKER_ON_EVENT: '/etc/on-event',
    PATH: '/usr/bin',
    BROKER_FAILURE_LIMIT: '50',
    BROKER_REQUIRE_SECOND_FACTOR: 'true',
    BROKER_CACHE_DIR: '/var/cache/broker',
    BROKER_CACHE_SIZE: '10 GiB',
    BROKER_CONNECTION_REQUESTS_PER_MINUTE: '600',
    BROKER_CONNECTION_REQUESTS_PER_DAY: '0',
    BROKER_NAME: ' The Survey ',
    BROKER_CONTACT: 'maps@example.com',
    BROKER_PRIVACY_URL: 'https://example.com/privacy',
  })
  t.match(config, {
    ellipsis: {
      apiUrl: 'https://api.example.com/v3',
      webUrl: 'https://web.example.com',
      tokenRequest: 'json',
      accessTokenLifetimeSeconds: 600,
    },
    publicUrl: 'https://example.com/broker',
    basePath: '/broker',
    callbackUrl: 'https://example.com/broker/callback',
    host: '::',
    port: 8080,
    dataDir: '/srv/broker',
    trustProxy: ['10.0.0.0/8', '::1'],
    logLevel: 'debug',
    minTtlSeconds: 120,
    onEvent: { program: '/etc/on-event', environment: { PATH: '/usr/bin' } },
    eventDays: 30,
    failureLimit: 50,
    requireSecondFactor: true,
    cache: { directory: '/var/cache/broker', maxBytes: 10 * 2 ** 30 },
    connectionLimits: { requestsPerMinute: 600, requestsPerDay: null },
    operator: {
      name: 'The Survey',
      contact: 'maps@example.com',
      privacyUrl: 'https://example.com/privacy',
    },
  })
  t.strictSame(
    config.secrets?.map((secret) => secret.reveal()),
    [key, other],
  )
  t.equal(config.metricsToken?.reveal(), 'scrape-me')
  t.equal(config.metricsPort, 9464)
})

t.test('serving needs client id and secret; the error says where to find them', async (t) => {
  const { list, error } = loadInvalid(
    { BROKER_PUBLIC_URL: 'https://b.example', ELLIPSIS_CLIENT_SECRET: '  ' },
    { serve: true },
  )
  t.strictSame(list, ['ELLIPSIS_CLIENT_ID is not set.', 'ELLIPSIS_CLIENT_SECRET is not set.'])
  t.match(error.message, /^2 settings are missing or invalid:/)
  t.match(error.message, 'Account settings → Developer settings')
  t.match(error.message, 'the callback URL https://b.example/callback.')
  const config = loadConfig({})
  t.equal(config.ellipsis.clientId, '', 'commands on the data need no client')
  t.equal(config.ellipsis.clientSecret.reveal(), '')
})

t.test('the error lists every problem and no secret', async (t) => {
  const { error } = loadInvalid(
    {
      BROKER_PORT: '80x',
      BROKER_LOG_LEVEL: 'loud',
      BROKER_SECRETS: 'do-not-show-this',
      BROKER_METRICS_TOKEN: 'nor this',
      BROKER_PUBLIC_URL: 'https://me:nor-that@b.example',
    },
    { serve: true },
  )
  t.equal(error.problems.length, 7)
  for (const { name, fix } of error.problems) {
    t.match(error.message, name)
    t.match(error.message, fix)
  }
  t.notMatch(inspect(error), /do-not|nor this|nor-that/)
})

const invalid: [name: string, ...values: string[]][] = [
  ['BROKER_PORT', '-1', '1.5', '1e3', '0x50', '65536', ' 8 0 ', 'NaN', 'http://10.0.0.1:3000'],
  ['BROKER_WORKERS', '0', '65', '-1', '2.5', 'all'],
  ['BROKER_MIN_TTL', '60s', '86401', '+60'],
  ['BROKER_EVENT_DAYS', '0', '36501'],
  ['BROKER_FAILURE_LIMIT', '0', 'many'],
  ['BROKER_CACHE_SIZE', '10', '15MiB', '1GB', '1gib', '-1GiB', '1.5GiB', 'GiB'],
  ['BROKER_CONNECTION_REQUESTS_PER_MINUTE', '-1', 'many', '1e3'],
  ['BROKER_CONNECTION_REQUESTS_PER_DAY', '1.5'],
  ['BROKER_REQUIRE_SECOND_FACTOR', 'yes'],
  ['ELLIPSIS_ACCESS_TOKEN_LIFETIME', '0', 'hour'],
  ['ELLIPSIS_TOKEN_REQUEST', 'FORM', 'xml'],
  ['BROKER_LOG_LEVEL', 'verbose'],
  ['BROKER_HOST', 'http://0.0.0.0', 'a b'],
  [
    'BROKER_PUBLIC_URL',
    'http://broker.example.com',
    'http://127.0.0.1.example.com',
    'https://b.example/?',
    'https://b.example/#a',
    'https://user@b.example',
    'https://b.example//x',
    'https://b.example/%2e%2e/a b',
    'b.example',
    'ftp://b.example',
    'https:b.example',
    `https://b.example/${'x'.repeat(80)}`,
  ],
  ['ELLIPSIS_API_URL', 'api', 'https://api.example/v3?x=1'],
  ['ELLIPSIS_WEB_URL', 'https://web.example/app'],
  [
    'BROKER_TRUST_PROXY',
    'all',
    '10.0.0.0/33',
    '10.0.0.0/0',
    '::1/129',
    '10.0.0.0/8/8',
    '10.0.0.1,',
  ],
  ['BROKER_SECRETS', 'short', `${key}=`, `${key},${key}`, `${key}A`, `${key.slice(0, 42)}F`],
  ['BROKER_METRICS_TOKEN', 'two words', 'é'],
  // 3000 is the default of BROKER_PORT.
  ['BROKER_METRICS_PORT', '-1', 'x', '65536', '3000'],
  ['BROKER_CONTACT', 'ask me', 'javascript:alert(1)//@x'],
  ['BROKER_PRIVACY_URL', 'javascript:alert(1)', 'privacy.html'],
]
for (const [name, ...values] of invalid) {
  t.test(`invalid values of ${name} are rejected`, async (t) => {
    for (const value of values) {
      const { error } = loadInvalid({ [name]: value })
      t.strictSame(
        error.problems.map((problem) => problem.name),
        [name],
        value,
      )
    }
  })
}

t.test('URLs of this machine may use http', async (t) => {
  for (const url of ['http://localhost:1', 'http://127.0.0.2', 'http://[::1]:3000/x']) {
    t.equal(loadConfig({ BROKER_PUBLIC_URL: url }).publicUrl, url)
  }
  const longest = `https://b.example/${'x'.repeat(73)}`
  t.equal(loadConfig({ BROKER_PUBLIC_URL: longest }).callbackUrl.length, 100)
})

t.test('any free port needs a public URL', async (t) => {
  const { list } = loadInvalid({ BROKER_PORT: '0' })
  t.strictSame(list, ['BROKER_PUBLIC_URL is not set. It is required if BROKER_PORT is 0.'])
  t.equal(loadConfig({ BROKER_PORT: '0', BROKER_PUBLIC_URL: 'http://localhost' }).port, 0)
})

t.test('the default web app applies only to the default API', async (t) => {
  const api = { ELLIPSIS_API_URL: 'http://127.0.0.1:4001/v3' }
  t.equal(loadConfig(api).ellipsis.webUrl, null)
  const web = { ELLIPSIS_WEB_URL: 'http://127.0.0.1:4001' }
  t.equal(loadConfig({ ...api, ...web }).ellipsis.webUrl, 'http://127.0.0.1:4001')
})

t.test('secrets are read from files', async (t) => {
  const folder = t.testdir({ secret: 'from a file\n', keys: `${key}\n${other}\n`, empty: '\n' })
  const file = (name: string) => join(folder, name)
  const config = loadConfig({
    ELLIPSIS_CLIENT_SECRET: '',
    ELLIPSIS_CLIENT_SECRET_FILE: file('secret'),
    BROKER_SECRETS_FILE: file('keys'),
  })
  t.equal(config.ellipsis.clientSecret.reveal(), 'from a file')
  t.equal(config.secrets?.length, 2)
  t.strictSame(config.warnings, [])

  const both = { BROKER_METRICS_TOKEN: 'x', BROKER_METRICS_TOKEN_FILE: file('secret') }
  t.match(loadInvalid(both).list, [
    'BROKER_METRICS_TOKEN and BROKER_METRICS_TOKEN_FILE are both set.',
  ])
  t.match(loadInvalid({ BROKER_SECRETS_FILE: file('empty') }).list, [/empty is empty\.$/])
  t.match(loadInvalid({ BROKER_SECRETS_FILE: file('none') }).list, [
    /cannot be read from .* \(ENOENT\)\.$/,
  ])
  const readFile = () => {
    throw new TypeError('no code')
  }
  const { list } = loadInvalid({ ELLIPSIS_CLIENT_SECRET_FILE: 'x' }, { serve: true, readFile })
  t.match(list, [/cannot be read from x \(unknown error\)\.$/, 'ELLIPSIS_CLIENT_ID is not set.'])
})

t.test('suspicious settings cause warnings', async (t) => {
  const { warnings } = loadConfig({
    BROKER_PUBLIC_UR: 'x',
    BROKER_PORT_FILE: 'x',
    ELLIPSIS_FAVOURITE_COLOUR: 'blue',
    ELLIPSIS_API_URL: 'http://api.example/v3',
    PATH: 'x',
  })
  t.strictSame(warnings, [
    'BROKER_PUBLIC_UR is not a setting. Did you mean BROKER_PUBLIC_URL?',
    'BROKER_PORT_FILE is not a setting: BROKER_PORT is not a secret and cannot be read from a file.',
    'ELLIPSIS_FAVOURITE_COLOUR is not a setting of this version.',
    'ELLIPSIS_API_URL is not https: tokens and the client secret are sent unencrypted.',
  ])
})

t.test('the contact is an e-mail address or a page', async (t) => {
  for (const contact of ['maps@example.com', 'https://example.com/contact?map']) {
    t.equal(loadConfig({ BROKER_CONTACT: contact }).operator.contact, contact)
  }
})

t.test('the configuration is frozen and prints no secrets', async (t) => {
  const config = loadConfig({ ...client, BROKER_SECRETS: key })
  for (const part of [config, config.ellipsis, config.trustProxy, config.operator]) {
    t.ok(Object.isFrozen(part))
  }
  t.notMatch(inspect(config, { depth: null, showHidden: true }), new RegExp(`hush|${key}`))
})

t.test('the environment overrides .env', async (t) => {
  const folder = t.testdir({ '.env': 'BROKER_PORT=4000\nBROKER_NAME="From .env" # ours\n' })
  const env = readEnvironment({ BROKER_PORT: '5000' }, folder)
  t.strictSame(env, { BROKER_PORT: '5000', BROKER_NAME: 'From .env' })
  t.strictSame(readEnvironment({ A: 'b' }, join(folder, 'none')), { A: 'b' }, 'without .env')
  t.equal(readEnvironment().PATH, process.env.PATH, "this process's own")

  const unreadable = temporaryFolder(t)
  mkdirSync(join(unreadable, '.env'))
  t.throws(() => readEnvironment({}, unreadable), ConfigError)
  t.throws(() => readEnvironment({}, unreadable), { message: /\.env cannot be read \(EISDIR\)/ })
})

t.test('.env.example is the table of settings', async (t) => {
  const file = join(import.meta.dirname, '../..', '.env.example')
  if (process.env.TAP_SNAPSHOT === '1') writeFileSync(file, formatEnvExample())
  const text = readFileSync(file, 'utf8')
  t.equal(text, formatEnvExample(), 'after a change of the table, run: npm run docs')
  const example = parseEnv(text.replaceAll(/^# (?=[A-Z_]+=)/gm, ''))
  t.strictSame(
    { ...example },
    Object.fromEntries(settings.map((setting) => [setting.name, setting.default ?? ''])),
  )
  t.strictSame(loadConfig(example), loadConfig({ ELLIPSIS_WEB_URL: example.ELLIPSIS_WEB_URL }))
  for (const { about, where } of settings) t.match([about, where], [/^\S.*\.$/, /^\S.*\.$/])
})
