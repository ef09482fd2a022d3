/** Settings that other systems wrote or changed: editors, Windows, docker, Kubernetes. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { ConfigError, loadConfig, readEnvironment } from '../../server/config/config.ts'
import { settings } from '../../server/config/settings.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))
const key = Buffer.alloc(32, 1).toString('base64url')
const other = Buffer.alloc(32, 2).toString('base64url')

const VALUES = {
  ELLIPSIS_CLIENT_ID: 'the-client',
  ELLIPSIS_CLIENT_SECRET: 'hush',
  BROKER_PUBLIC_URL: 'https://broker.example.com',
  BROKER_PORT: '4000',
  BROKER_SECRETS: `${key},${other}`,
  BROKER_NAME: 'Université',
  BROKER_METRICS_TOKEN: 'scrape-me',
}

/** The problems of these settings as `NAME problem`. */
function problemsOf(load: () => unknown): string[] {
  try {
    load()
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ name, problem }) => `${name} ${problem}`)
  }
}

const fileOf = (lineEnd: string, quote = '') =>
  Object.entries(VALUES)
    .map(([name, value]) => `${name}=${quote}${value}${quote}${lineEnd}`)
    .join('')

const UTF_16 = [
  Buffer.from(`\uFEFF${fileOf('\r\n')}`, 'utf16le'),
  Buffer.from(`\uFEFF${fileOf('\n')}`, 'utf16le').swap16(),
  Buffer.from(fileOf('\n'), 'utf16le'),
  Buffer.from(fileOf('\n'), 'utf16le').swap16(),
]

t.test('.env is read however an editor saved it', async (t) => {
  const folder = temporaryFolder(t)
  const read = (content: string | Buffer) => {
    writeFileSync(join(folder, '.env'), content)
    return readEnvironment({}, folder)
  }
  for (const mark of ['', '\uFEFF']) {
    for (const lineEnd of ['\n', '\r\n', '\r']) {
      for (const quote of ['', '"', "'"]) {
        const text = mark + fileOf(lineEnd, quote)
        t.strictSame(read(text), VALUES, JSON.stringify([mark, lineEnd, quote]))
      }
    }
  }
  for (const content of UTF_16) {
    t.match(
      problemsOf(() => read(content)),
      [/\/\.env is in UTF-16, not in UTF-8\.$/],
    )
  }
  t.match(
    problemsOf(() => read(Buffer.from(fileOf('\n'), 'latin1'))),
    [/\.env is not in UTF-8\.$/],
  )
})

t.test('files of secrets are read however an editor saved them', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'secret')
  const load = (name: string, content: string | Buffer) => {
    writeFileSync(file, content)
    return loadConfig({ [`${name}_FILE`]: file })
  }
  for (const decorate of [
    (text: string) => `\uFEFF${text}`,
    (text: string) => `${text}\r\n`,
    (text: string) => `\uFEFF${text}\r\n\r\n`,
    (text: string) => `${text}\r`,
  ]) {
    const secret = load('ELLIPSIS_CLIENT_SECRET', decorate('hush'))
    t.equal(secret.ellipsis.clientSecret.reveal(), 'hush')
    t.equal(load('BROKER_METRICS_TOKEN', decorate('hush')).metricsToken?.reveal(), 'hush')
    const keys = load('BROKER_SECRETS', decorate(`${key}\r\n${other}`)).secrets
    t.strictSame(
      keys?.map((secret) => secret.reveal()),
      [key, other],
    )
  }
  const quoted = load('ELLIPSIS_CLIENT_SECRET', '"hush"\n')
  t.equal(quoted.ellipsis.clientSecret.reveal(), '"hush"', 'in a file, quotes are part of it')
  t.equal(load('BROKER_SECRETS', `"${key}"`).secrets?.[0]?.reveal(), key)
  for (const name of ['ELLIPSIS_CLIENT_SECRET', 'BROKER_METRICS_TOKEN', 'BROKER_SECRETS']) {
    for (const content of UTF_16) {
      t.match(
        problemsOf(() => load(name, content)),
        [`${name} cannot be read: ${file} is in UTF-16`],
      )
    }
    const latin = Buffer.from('clé', 'latin1')
    t.match(
      problemsOf(() => load(name, latin)),
      [`${name} cannot be read: ${file} is not in UTF-8.`],
    )
  }
  const lines = problemsOf(() => load('ELLIPSIS_CLIENT_SECRET', 'one\ntwo'))
  t.strictSame(lines, ['ELLIPSIS_CLIENT_SECRET has more than one line.'])
  t.equal(
    loadConfig(
      { BROKER_SECRETS_FILE: `"${join(folder, 'secret')}"` },
      {
        readFile: () => key,
      },
    ).secrets?.length,
    1,
  )
})

const { ELLIPSIS_CLIENT_SECRET: _secret, ...UNAMBIGUOUS } = VALUES
const plain = loadConfig(UNAMBIGUOUS)

t.test('quotes, line ends and marks around a value of the environment do not count', async (t) => {
  for (const decorate of [
    (text: string) => `"${text}"`,
    (text: string) => `'${text}'`,
    (text: string) => '`' + text + '`',
    (text: string) => `“${text}”`,
    (text: string) => `‘${text}’`,
    (text: string) => `"${text}"\r`,
    (text: string) => ` " ${text} " `,
    (text: string) => `\uFEFF${text}`,
    (text: string) => `${text}\r`,
    (text: string) => `${text}\u00a0`,
  ]) {
    const env = Object.fromEntries(
      Object.entries(UNAMBIGUOUS).map(([name, value]) => [name, decorate(value)]),
    )
    t.strictSame(loadConfig(env), plain, decorate('x'))
  }
  for (const empty of ['""', "''", '" "', '\uFEFF']) {
    t.equal(loadConfig({ BROKER_PUBLIC_URL: empty }).publicUrl, 'http://127.0.0.1:3000')
  }
  t.strictSame(loadConfig({ '\uFEFFBROKER_PORT': '4000' }).port, 4000, 'a mark before the name')
})

t.test('what may be part of a value, or of its environment, is refused by name', async (t) => {
  const cases: [name: string, value: string, problem: RegExp][] = [
    ['ELLIPSIS_CLIENT_SECRET', '"hush"', /begins and ends with a quotation mark/],
    ['ELLIPSIS_CLIENT_SECRET', "'hush'\r", /begins and ends with a quotation mark/],
    ['ELLIPSIS_CLIENT_SECRET', 'hush # from the console', /looks like a comment/],
    ['ELLIPSIS_CLIENT_ID', 'the-client\t# ours', /looks like a comment/],
    ['BROKER_DATA_DIR', './data # local', /looks like a comment/],
    ['BROKER_PORT', '4000 # local', /looks like a comment/],
    ['ELLIPSIS_CLIENT_SECRET', 'h\uFFFDsh', /is not in UTF-8/],
    ['BROKER_NAME', 'Universit\uFFFD', /is not in UTF-8/],
    ['BROKER_DATA_DIR', '/srv/\uFFFD', /is not in UTF-8/],
    ['ELLIPSIS_CLIENT_SECRET', 'one\r\ntwo', /has more than one line/],
    ['BROKER_PUBLIC_URL', '"https://broker.example.com', /is not an http or https URL/],
    ['BROKER_SECRETS', `"${key}`, /invalid key/],
  ]
  for (const [name, value, problem] of cases) {
    const [found = '', ...others] = problemsOf(() => loadConfig({ [name]: value }))
    t.ok(found.startsWith(`${name} `) && problem.test(found), `${name}=${value}: ${found}`)
    t.strictSame(others, [])
  }
  const name = '"Maps" and "more"'
  t.equal(loadConfig({ BROKER_NAME: name }).operator.name, name, 'quotes within stay')
  t.equal(loadConfig({ BROKER_NAME: 'Team #1' }).operator.name, 'Team #1')
})

/** The variables of a Kubernetes service, as of its documentation. */
const serviceVariables = (service: string, address = '10.0.0.1', protocol = 'TCP') => {
  const prefix = service.toUpperCase().replaceAll('-', '_')
  const url = `${protocol.toLowerCase()}://${address.includes(':') ? `[${address}]` : address}:3000`
  return {
    [`${prefix}_SERVICE_HOST`]: address,
    [`${prefix}_SERVICE_PORT`]: '3000',
    [`${prefix}_SERVICE_PORT_HTTP`]: '3000',
    [`${prefix}_SERVICE_PORT_HTTP_METRICS`]: '9090',
    [`${prefix}_PORT`]: url,
    [`${prefix}_PORT_3000_${protocol}`]: url,
    [`${prefix}_PORT_3000_${protocol}_PROTO`]: protocol.toLowerCase(),
    [`${prefix}_PORT_3000_${protocol}_PORT`]: '3000',
    [`${prefix}_PORT_3000_${protocol}_ADDR`]: address,
  }
}

const SERVICES = [
  'broker',
  'ellipsis',
  'ellipsis-broker',
  'broker-metrics',
  'broker-1',
  'ellipsis-web',
]

t.test('variables that Kubernetes makes of a service are not settings', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, '.env'), 'BROKER_PORT=4000\n')
  for (const service of SERVICES) {
    for (const address of ['10.0.0.1', 'fd00::1', 'None']) {
      for (const protocol of ['TCP', 'UDP', 'SCTP']) {
        const variables = serviceVariables(service, address, protocol)
        t.strictSame(
          loadConfig({ ...VALUES, ...variables, BROKER_PORT: '4000' }),
          loadConfig(VALUES),
        )
        const { port, warnings } = loadConfig(variables)
        t.strictSame({ port, warnings }, { port: 3000, warnings: [] }, service)
        t.equal(loadConfig(readEnvironment(variables, folder)).port, 4000, '.env is not overridden')
      }
    }
  }
  t.match(
    problemsOf(() => loadConfig({ BROKER_PORT: 'http://x' })),
    [/^BROKER_PORT is not a whole/],
  )
  const typo = loadConfig({ BROKER_PORTT: '1', BROKER_SERVICE: '1', ELLIPSIS_PORT: '1' })
  t.equal(typo.warnings.length, 3, 'other unknown names still cause a warning')
})

t.test(`${RUNS} generated environments: read as meant, or refused by name`, async () => {
  const names = settings.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name]))
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc
      .tuple(
        fc.constantFrom('', '"', "'", '\uFEFF', ' ', '“'),
        fc.constantFrom(...Object.values(VALUES), '1', '/tmp/x', 'info', 'tcp://10.0.0.1:80', '::'),
        fc.constantFrom('', '"', "'", '\r', ' # x', '\r\n', '”', '\uFFFD'),
      )
      .map((parts) => parts.join('')),
  )
  const services = fc.constantFrom({}, ...SERVICES.map((service) => serviceVariables(service)))
  const environment = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 8 })
  fc.assert(
    fc.property(environment, services, (env, extra) => {
      const load = (all: NodeJS.ProcessEnv) => {
        try {
          return { config: loadConfig(all, { readFile: () => 'content' }) }
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error
          for (const { name, fix } of error.problems) {
            if (!names.includes(name) || fix === '') throw new Error('unclear', { cause: error })
          }
          return { problems: error.message }
        }
      }
      // What Kubernetes adds changes nothing.
      assert.deepEqual(load({ ...extra, ...env }), load(env))
    }),
    { numRuns: RUNS },
  )
})
