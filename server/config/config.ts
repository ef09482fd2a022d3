import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import * as parse from './parse.ts'
import { ConfigError } from './problems.ts'
import { type ReadFile, type Reader, createReader } from './reader.ts'
import { CALLBACK, table } from './settings.ts'
import { warnOfUnknown } from './unknown.ts'
import { Secret } from '../secret.ts'

export { ConfigError } from './problems.ts'
export { settings } from './settings.ts'
export type { Setting } from './settings.ts'

/** All settings, checked. Frozen. */
export interface Config {
  /** The OAuth client at Ellipsis Drive. Empty where a command that doesn't serve was given none. */
  ellipsis: {
    clientId: string
    clientSecret: Secret
    /** Without a slash at the end. */
    apiUrl: string
    /** Origin of the web app; `null`: unknown. */
    webUrl: string | null
    tokenRequest: 'form' | 'json'
    /** Assumed where none is told. */
    accessTokenLifetimeSeconds: number
  }
  /** Without a slash at the end; the issuer of broker tokens. */
  publicUrl: string
  /** Path of `publicUrl`: empty, or such as `/broker`. */
  basePath: string
  /** Where Ellipsis Drive returns; what is to be registered there. */
  callbackUrl: string
  host: string
  port: number
  /** Files of the certificate and its key, absolute; `null`: plain http, behind a proxy. */
  tls: { certFile: string; keyFile: string } | null
  /** Absolute. */
  dataDir: string
  /** Where the single file writes its native code, absolute; `null`: to the data directory. */
  nativeDir: string | null
  /** Encryption keys, 32 bytes in base64url each; the first seals. `null`: the data directory has one. */
  secrets: Secret[] | null
  /** Addresses and networks (CIDR) of reverse proxies. */
  trustProxy: string[]
  metricsToken: Secret | null
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  minTtlSeconds: number
  eventDays: number
  /** Failed requests that an address may make in a minute. */
  failureLimit: number
  /** Who runs this, for the people who connect. */
  operator: { name: string | null; contact: string | null; privacyUrl: string | null }
  /** What is odd, but stops nothing. */
  warnings: string[]
}

/** Longest callback URL that Ellipsis Drive stores. */
const LONGEST_CALLBACK = 100
const DAY_SECONDS = 86_400

/**
 * The settings of an environment.
 * @param options.serve client id and secret must be set; commands on the data do without
 * @param options.readFile for settings named `NAME_FILE`
 * @throws ConfigError with every problem at once
 */
export function loadConfig(
  env: NodeJS.ProcessEnv,
  options: { serve?: boolean; readFile?: ReadFile } = {},
): Config {
  const reader = createReader(env, options.readFile ?? readText)
  const place = readPlace(reader)
  const config: Config = {
    ...place,
    ellipsis: readEllipsis(reader),
    host: reader.value('BROKER_HOST', parse.host),
    tls: readTls(reader),
    dataDir: resolve(reader.value('BROKER_DATA_DIR', parse.text)),
    nativeDir: reader.optional('BROKER_NATIVE_DIR', (text) => resolve(text)),
    secrets: reader.optional('BROKER_SECRETS', parse.keys)?.map((key) => new Secret(key)) ?? null,
    trustProxy: reader.optional('BROKER_TRUST_PROXY', parse.networks) ?? [],
    metricsToken: reader.secret('BROKER_METRICS_TOKEN', parse.bearerToken),
    logLevel: reader.value(
      'BROKER_LOG_LEVEL',
      parse.oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    ),
    minTtlSeconds: reader.value('BROKER_MIN_TTL', parse.integer(0, DAY_SECONDS)),
    eventDays: reader.value('BROKER_EVENT_DAYS', parse.integer(1, 36_500)),
    failureLimit: reader.value('BROKER_FAILURE_LIMIT', parse.integer(1, 1_000_000)),
    operator: {
      name: reader.optional('BROKER_NAME', parse.text),
      contact: reader.optional('BROKER_CONTACT', parse.contact),
      privacyUrl: reader.optional('BROKER_PRIVACY_URL', parse.pageUrl),
    },
    warnings: [],
  }
  if (options.serve) requireClient(reader, config)
  if (reader.problems.length > 0) throw new ConfigError(reader.problems)
  return freeze({ ...config, warnings: [...warnOfUnknown(env), ...warnOf(config)] })
}

/**
 * This process's environment, over what the working directory's `.env` holds.
 * @throws ConfigError if there is a `.env` that can't be read
 */
export function readEnvironment(
  environment: NodeJS.ProcessEnv = process.env,
  directory: string = process.cwd(),
): NodeJS.ProcessEnv {
  const file = join(directory, '.env')
  try {
    return { ...parseEnv(readText(file)), ...environment }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return { ...environment }
    const problem = { name: file, wrong: `can't be read (${code}).`, mend: 'Make it readable.' }
    throw new ConfigError([problem])
  }
}

const readText: ReadFile = (path) => readFileSync(path, 'utf8')

/** Where the broker is found. */
function readPlace(
  reader: Reader,
): Pick<Config, 'publicUrl' | 'basePath' | 'callbackUrl' | 'port'> {
  const port = reader.value('BROKER_PORT', parse.integer(0, 65_535))
  if (port === 0 && !reader.isSet('BROKER_PUBLIC_URL')) {
    reader.report('BROKER_PUBLIC_URL', 'is not set, and must be where BROKER_PORT is 0.')
  }
  const publicUrl =
    reader.optional('BROKER_PUBLIC_URL', parse.publicBaseUrl) ?? `http://127.0.0.1:${port}`
  const callbackUrl = `${publicUrl}/callback`
  if (callbackUrl.length > LONGEST_CALLBACK) {
    const limit = `Ellipsis Drive takes callback URLs of ${LONGEST_CALLBACK} characters at most`
    reader.report(
      'BROKER_PUBLIC_URL',
      `is too long: ${limit}, and ${callbackUrl} has ${callbackUrl.length}.`,
    )
  }
  return {
    publicUrl,
    basePath: publicUrl.slice(new URL(publicUrl).origin.length),
    callbackUrl,
    port,
  }
}

function readTls(reader: Reader): Config['tls'] {
  const certFile = reader.optional('BROKER_TLS_CERT', parse.text)
  const keyFile = reader.optional('BROKER_TLS_KEY', parse.text)
  if (certFile !== null && keyFile !== null) {
    return { certFile: resolve(certFile), keyFile: resolve(keyFile) }
  }
  if (certFile !== null) reader.report('BROKER_TLS_KEY', 'is not set, and BROKER_TLS_CERT is.')
  if (keyFile !== null) reader.report('BROKER_TLS_CERT', 'is not set, and BROKER_TLS_KEY is.')
  return null
}

function readEllipsis(reader: Reader): Config['ellipsis'] {
  const apiUrl = reader.value('ELLIPSIS_API_URL', parse.baseUrl)
  const webUrl = reader.value('ELLIPSIS_WEB_URL', parse.origin)
  const web = reader.isSet('ELLIPSIS_WEB_URL') || apiUrl === table.ELLIPSIS_API_URL.default
  return {
    clientId: reader.optional('ELLIPSIS_CLIENT_ID', parse.text) ?? '',
    clientSecret: reader.secret('ELLIPSIS_CLIENT_SECRET', parse.text) ?? new Secret(''),
    apiUrl,
    webUrl: web ? webUrl : null,
    tokenRequest: reader.value('ELLIPSIS_TOKEN_REQUEST', parse.oneOf('form', 'json')),
    accessTokenLifetimeSeconds: reader.value(
      'ELLIPSIS_ACCESS_TOKEN_LIFETIME',
      parse.integer(1, 365 * DAY_SECONDS),
    ),
  }
}

function requireClient(reader: Reader, { callbackUrl }: Config): void {
  for (const name of ['ELLIPSIS_CLIENT_ID', 'ELLIPSIS_CLIENT_SECRET'] as const) {
    if (reader.isSet(name)) continue
    reader.report(name, 'is not set.', table[name].where.replace(CALLBACK, callbackUrl))
  }
}

function warnOf({ ellipsis }: Config): string[] {
  if (parse.isSafe(ellipsis.apiUrl)) return []
  return ['ELLIPSIS_API_URL is not https: tokens and the client secret can be read on their way.']
}

function freeze(config: Config): Config {
  for (const part of Object.values(config)) Object.freeze(part)
  return Object.freeze(config)
}
