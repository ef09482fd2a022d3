import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { App } from '../db/store.ts'
import { buildApp } from '../server/http/app.ts'
import { loadConfig } from '../server/config/config.ts'
import { appDefaults } from '../server/oauth/app-settings.ts'
import type { AppSettings } from '../server/oauth/app-settings.ts'
import { sha256 } from '../server/crypto/hash.ts'
import { createLog } from '../server/log.ts'
import { startServices } from '../server/services.ts'
import { runtime } from '../server/runtime.ts'
import type { Services } from '../server/services.ts'
import type { Runtime } from '../server/runtime.ts'
import { standInDefaults, startStandIn } from '../server/stand-in/app.ts'
import type { StandIn, Switches } from '../server/stand-in/app.ts'
import { testClock } from './clock.ts'
import { freePort } from './free-port.ts'
import type { TestClock } from './clock.ts'
import { Visitor } from './visitor.ts'
import { migratedFolder } from './db/temporary.ts'

export { freePort, freePorts } from './free-port.ts'
export { testClock }

/** The cheapest argon2id parameters. Tests of the cost use the real ones. */
export const cheapHashing = {
  ...runtime.passwordHashing,
  cost: { memory: 8, passes: 1, parallelism: 1 },
}

export interface TestBroker {
  url: string
  app: FastifyInstance
  services: Services
  standIn: StandIn
  /** Base URL of the stand-in's API. */
  standInApiUrl: string
  /** Clock of broker and stand-in, unless the test passes its own. */
  clock: TestClock
  /** Lines that the broker has logged, at every level. */
  logged: string[]
  env: Record<string, string>
  dataDir: string
}

export interface TestOptions {
  switches?: Partial<Switches>
  env?: Record<string, string>
  basePath?: string
  /** The host name of the public URL, one of this machine's. */
  host?: string
  runtime?: Partial<Runtime>
  /** Random source of the stand-in. */
  random?: () => number
  dataDir?: string
}

/** Starts a broker with its own store and stand-in. All are stopped after the test. */
export async function buildBroker(
  t: Pick<Test, 'teardown'>,
  options: TestOptions = {},
): Promise<TestBroker> {
  for (;;) {
    const teardowns: (() => unknown)[] = []
    const runTeardowns = async () => {
      for (const work of teardowns.splice(0).reverse()) await work()
    }
    try {
      const teardown = (work: () => unknown) => void teardowns.push(work)
      const broker = await startBroker({ teardown }, await freePort(), options)
      t.teardown(runTeardowns)
      return broker
    } catch (error) {
      await runTeardowns()
      // Another process took the port.
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

async function startBroker(
  t: Pick<Test, 'teardown'>,
  port: number,
  options: TestOptions,
): Promise<TestBroker> {
  const clock = testClock()
  const standInClock = options.runtime?.clock ?? clock
  const origin = `http://${options.host ?? '127.0.0.1'}:${port}`
  const url = origin + (options.basePath ?? '')
  const client = {
    ...standInDefaults.client,
    redirectUris: [`${options.env?.BROKER_PUBLIC_URL ?? url}/callback`],
  }
  const standIn = await startStandIn({
    port: 0,
    clients: [client],
    now: () => standInClock.now(),
    sleep: (milliseconds) => standInClock.sleep(milliseconds),
    ...(options.random && { random: options.random }),
    ...(options.switches && { switches: options.switches }),
  })
  t.teardown(() => standIn.close())
  const dataDir = options.dataDir ?? (await migratedFolder(t))
  const env = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: standIn.apiUrl,
    BROKER_PUBLIC_URL: url,
    BROKER_PORT: String(port),
    BROKER_DATA_DIR: dataDir,
    BROKER_LOG_LEVEL: 'trace',
    BROKER_FAILURE_LIMIT: '1000000',
    BROKER_METRICS_TOKEN: METRICS_TOKEN,
    ...options.env,
  }
  const config = loadConfig(env, { serve: true })
  const logged: string[] = []
  const log = createLog(config, { write: (line: string) => logged.push(line) > 0 })
  const services = await startServices(config, log, {
    runtime: { ...runtime, clock, passwordHashing: cheapHashing, ...options.runtime },
  })
  t.teardown(() => services.stop())
  const app = await buildApp(services)
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port })
  const { apiUrl: standInApiUrl } = standIn
  return {
    url,
    app,
    services,
    standIn: standIn.standIn,
    standInApiUrl,
    clock,
    logged,
    env,
    dataDir,
  }
}

const METRICS_TOKEN = 'metrics-token-of-the-tests'

/** Reads the broker's metrics, as Prometheus does. */
export async function scrape({ url, env }: Pick<TestBroker, 'url' | 'env'>): Promise<string> {
  const headers = { authorization: `Bearer ${env.BROKER_METRICS_TOKEN}` }
  return (await fetch(`${url}/metrics`, { headers })).text()
}

/** Redirect URI of the tests' apps. Nothing listens there. */
export const RETURN = 'https://app.example.com/return'

export async function addApp(
  broker: TestBroker,
  settings: Partial<AppSettings> = {},
): Promise<App> {
  return (await addAppWithSecret(broker, settings)).app
}

export function addAppWithSecret({ services }: TestBroker, settings: Partial<AppSettings> = {}) {
  const defaults = { ...appDefaults, name: 'Test map', redirectUris: [RETURN] }
  return services.apps.add({ ...defaults, ...settings }, 'test')
}

/** Parameters of an authorization request, and their code verifier. */
export function authorizationRequest(app: App, more: Record<string, string> = {}) {
  const verifier = randomBytes(32).toString('base64url')
  const parameters = {
    response_type: 'code',
    client_id: app.id,
    redirect_uri: app.redirectUris[0] ?? '',
    state: randomBytes(8).toString('hex'),
    code_challenge: sha256(verifier),
    code_challenge_method: 'S256',
    ...more,
  }
  return { verifier, parameters }
}

/** Takes a user through consent page and stand-in, who keeps an account that the app did not ask for. Returns the redirect to the app. */
export async function authorize(
  broker: TestBroker,
  app: App,
  options: {
    visitor?: Visitor
    user?: string
    parameters?: Record<string, string>
    path?: string
  } = {},
) {
  const { visitor = new Visitor(), user = 'amelie', path = '/oauth/authorize' } = options
  const { verifier, parameters } = authorizationRequest(app, options.parameters)
  const stopAt = parameters.redirect_uri
  const query = new URLSearchParams(parameters).toString()
  const consent = await visitor.open(`${broker.url}${path}?${query}`, stopAt)
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, stopAt)
  const answer = await allow(visitor, upstream, user, stopAt)
  const returned = answer.body.includes('Which account do you want to connect?')
    ? await visitor.press(answer, `Continue as ${user}`, {}, stopAt)
    : answer
  return { returned: new URL(returned.url), page: returned, verifier, parameters }
}

/** Signs in at the stand-in if necessary, and allows. */
export async function allow(
  visitor: Visitor,
  page: Page,
  user: string,
  stopAt?: string,
): Promise<Page> {
  let current = page
  const login = new RegExp(`name="user" value="${user}"[^>]*>([^<]*)<`).exec(current.body)?.[1]
  if (login !== undefined) current = await visitor.press(current, login.trim(), {}, stopAt)
  if (!current.body.includes('>Allow<')) return current
  return visitor.press(current, 'Allow', {}, stopAt)
}

type Page = Awaited<ReturnType<Visitor['open']>>

/** Posts a form and parses the JSON response. */
export async function postForm(
  url: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
) {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form), headers })
  const text = await response.text()
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  return { status: response.status, headers: response.headers, body }
}

/** Connects a user and redeems the code. Returns the broker token and its claims. */
export async function connect(
  broker: TestBroker,
  app: App,
  options: Parameters<typeof authorize>[2] = {},
) {
  const { returned, verifier, parameters } = await authorize(broker, app, options)
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  })
  const brokerToken = body.access_token as string
  const payload = Buffer.from(brokerToken.split('.')[1] ?? '', 'base64url').toString()
  const claims = JSON.parse(payload) as Record<string, string>
  return { brokerToken, claims, connectionId: claims.sub ?? '', grantId: claims.grant_id ?? '' }
}

/** Swaps at `/exchange`. */
export async function exchange(broker: TestBroker, brokerToken: string, body?: object) {
  const response = await fetch(`${broker.url}/exchange`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${brokerToken}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const json = (await response.json()) as Record<string, unknown>
  return { status: response.status, headers: response.headers, body: json }
}
