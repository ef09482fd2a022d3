import { resolve } from 'node:path'
import { cleanEnvironment } from './environment.ts'
import { databaseUrl } from './database-url.ts'
import type { DatabaseUrl } from './database-url.ts'
import { findSettings, readText } from './find-settings.ts'
import type { Settings } from './find-settings.ts'
import * as parse from './parse.ts'
import { readProxy } from './proxy.ts'
import { ConfigError, type ReadFile, type Reader, createReader } from './reader.ts'
import { CALLBACK_URL_PLACEHOLDER, table, type SettingName } from './settings.ts'
import { warnOfUnknownSettings } from './unknown.ts'
import { Secret } from '../secret.ts'

export { ConfigError } from './reader.ts'
export type { Settings } from './find-settings.ts'

/** All settings, validated and frozen. */
export interface Config {
  /** The OAuth client at Ellipsis Drive. Id and secret may be empty in commands that don't serve. */
  ellipsis: {
    clientId: string
    clientSecret: Secret
    /** Without a trailing slash. */
    apiUrl: string
    /** Origin of the web app; `null` if unknown. */
    webUrl: string | null
    tokenRequest: 'form' | 'json'
    /** Assumed if Ellipsis Drive sends no `expires_in`. */
    accessTokenLifetimeSeconds: number
  }
  /** Without a trailing slash; the issuer of broker tokens. */
  publicUrl: string
  /** Path of `publicUrl`: empty, or for example `/broker`. */
  basePath: string
  /** Redirect URI at Ellipsis Drive, to be registered there. */
  callbackUrl: string
  host: string
  port: number
  /** Absolute paths of certificate and key; `null`: plain http, behind a proxy. */
  tls: { certFile: string; keyFile: string } | null
  /** Absolute path. */
  dataDir: string
  /** The PostgreSQL database; `null`: SQLite in the data directory. */
  database: DatabaseUrl | null
  /** Absolute path where the single binary writes its native code; `null`: the data directory. */
  nativeDir: string | null
  /** Encryption keys, 32 bytes in base64url each; the first encrypts. `null`: the key is in the data directory. */
  secrets: Secret[] | null
  /** Addresses and networks (CIDR) of reverse proxies. */
  trustProxy: string[]
  /** Networks (CIDR) that are not public, and from which keys of apps may be fetched. */
  jwksAllow: string[]
  /** Networks (CIDR) that are not public, and that webhooks may reach. */
  webhookAllow: string[]
  metricsToken: Secret | null
  /** Port of the metrics listener on 127.0.0.1; `null`: none. */
  metricsPort: number | null
  /** The proxy for calls to Ellipsis Drive. Its URL may contain a password. */
  proxy: Secret | null
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  minTtlSeconds: number
  eventDays: number
  /** The program that runs for each event, by its absolute path, and its environment; `null`: none. */
  onEvent: { program: string; environment: Record<string, string> } | null
  /** Failed requests per address and minute. */
  failureLimit: number
  /** Limit of a body that is sent to Ellipsis Drive through `/drive`. */
  uploadLimitBytes: number
  /** Where answers of Ellipsis Drive are cached, and how many bytes of them; `null`: nowhere. */
  cache: { directory: string; maxBytes: number } | null
  /** Forwarded requests of each connection; `null`: no limit. */
  connectionLimits: { requestsPerMinute: number | null; requestsPerDay: number | null }
  /** Refreshes for apps without their users, per process. */
  offlineRefreshesPerSecond: number
  /** Every admin who signs in with a password needs a second factor. */
  requireSecondFactor: boolean
  /** Admins may sign in with passwords and passkeys. */
  adminPasswords: boolean
  /** The identity provider of admins; `null`: none. */
  adminOidc: {
    issuer: string
    clientId: string
    clientSecret: Secret
    scope: string
    /** A key of the claims, or a path of keys. */
    roleClaim: string
    adminValues: string[]
    viewerValues: string[]
    /** As `proxy`, for calls to the issuer. */
    proxy: Secret | null
  } | null
  /** Who runs this broker, shown to users. */
  operator: { name: string | null; contact: string | null; privacyUrl: string | null }
  /** Problems that don't prevent a start. */
  warnings: string[]
}

/** Limit of Ellipsis Drive. */
const MAX_CALLBACK_URL_LENGTH_CHARS = 100
const DAY_SECONDS = 86_400

/**
 * Reads and validates all settings.
 * @param options.serve require client id and secret; commands on the data don't need them
 * @param options.file the settings file, for the message
 * @param options.readFile reads the files that `NAME_FILE` settings name
 * @throws ConfigError with all problems
 */
export function loadConfig(
  environment: NodeJS.ProcessEnv,
  options: { serve?: boolean; file?: string | undefined; readFile?: ReadFile } = {},
): Config {
  const env = cleanEnvironment(environment)
  const reader = createReader(env, options.readFile ?? readText)
  const urls = readUrls(reader)
  const ellipsis = readEllipsis(reader)
  const proxyTo = (url: string) =>
    readProxy(env, url, (name, problem) => {
      const fix = 'For example http://proxy.example.com:3128, or unset it.'
      if (reader.problems.every((known) => known.name !== name))
        reader.problems.push({ name, problem, fix })
    })
  const adminOidc = readAdminOidc(reader)
  const config: Config = {
    ...urls,
    ellipsis,
    proxy: proxyTo(ellipsis.apiUrl),
    adminOidc: adminOidc && { ...adminOidc, proxy: proxyTo(adminOidc.issuer) },
    adminPasswords: readAdminPasswords(reader),
    host: reader.value('BROKER_HOST', parse.host),
    tls: readTls(reader),
    dataDir: resolve(reader.value('BROKER_DATA_DIR', parse.text)),
    database: reader.optional('BROKER_DATABASE_URL', databaseUrl),
    nativeDir: reader.optional('BROKER_NATIVE_DIR', (text) => resolve(text)),
    secrets: reader.optional('BROKER_SECRETS', parse.keys)?.map((key) => new Secret(key)) ?? null,
    trustProxy: reader.optional('BROKER_TRUST_PROXY', parse.networks) ?? [],
    jwksAllow: reader.optional('BROKER_JWKS_ALLOW', parse.networks) ?? [],
    webhookAllow: reader.optional('BROKER_WEBHOOK_ALLOW', parse.networks) ?? [],
    metricsToken: reader.secret('BROKER_METRICS_TOKEN', parse.bearerToken),
    metricsPort: readMetricsPort(reader, urls.port),
    logLevel: reader.value(
      'BROKER_LOG_LEVEL',
      parse.oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    ),
    minTtlSeconds: reader.value('BROKER_MIN_TTL', parse.integer(0, DAY_SECONDS)),
    eventDays: reader.value('BROKER_EVENT_DAYS', parse.integer(1, 36_500)),
    onEvent: readOnEvent(reader, env),
    failureLimit: reader.value('BROKER_FAILURE_LIMIT', parse.integer(1, 1_000_000)),
    uploadLimitBytes: reader.value('BROKER_UPLOAD_LIMIT', parse.byteSize('1MiB')),
    offlineRefreshesPerSecond: reader.value(
      'BROKER_OFFLINE_REFRESHES_PER_SECOND',
      parse.integer(1, 10_000),
    ),
    requireSecondFactor:
      reader.value('BROKER_REQUIRE_SECOND_FACTOR', parse.oneOf('true', 'false')) === 'true',
    cache: readCache(reader),
    connectionLimits: {
      requestsPerMinute: readLimit(reader, 'BROKER_CONNECTION_REQUESTS_PER_MINUTE'),
      requestsPerDay: readLimit(reader, 'BROKER_CONNECTION_REQUESTS_PER_DAY'),
    },
    operator: {
      name: reader.optional('BROKER_NAME', parse.label),
      contact: reader.optional('BROKER_CONTACT', parse.contact),
      privacyUrl: reader.optional('BROKER_PRIVACY_URL', parse.pageUrl),
    },
    warnings: [],
  }
  if (options.serve) requireClient(reader, config)
  if (reader.problems.length > 0) throw new ConfigError(reader.problems, whereToSet(options.file))
  return freeze({ ...config, warnings: [...warnOfUnknownSettings(env), ...warnOfHttpApi(config)] })
}

/**
 * The settings of this process: `findSettings` with its environment and working directory.
 * @param envFile the settings file that the command line names
 * @throws ConfigError
 */
export const readSettings = (envFile?: string): Settings =>
  findSettings({ envFile, environment: process.env, directory: process.cwd() })

/** The variables of an environment and of the settings that it leads to. @throws ConfigError */
export const readEnvironment = (
  environment: NodeJS.ProcessEnv = process.env,
  directory: string = process.cwd(),
): NodeJS.ProcessEnv => findSettings({ environment, directory }).variables

const whereToSet = (file?: string): string =>
  file === undefined
    ? 'Set them in the environment or in .env. `ellipsis-broker init` asks for them and writes .env.'
    : `Set them in the environment or in ${file}.`

function readUrls(reader: Reader): Pick<Config, 'publicUrl' | 'basePath' | 'callbackUrl' | 'port'> {
  const port = reader.value('BROKER_PORT', parse.integer(0, 65_535))
  if (port === 0 && !reader.isSet('BROKER_PUBLIC_URL')) {
    reader.report('BROKER_PUBLIC_URL', 'is not set. It is required if BROKER_PORT is 0.')
  }
  const publicUrl =
    reader.optional('BROKER_PUBLIC_URL', parse.publicBaseUrl) ?? `http://127.0.0.1:${port}`
  const derived = urlsOf(publicUrl)
  const { callbackUrl } = derived
  if (callbackUrl.length > MAX_CALLBACK_URL_LENGTH_CHARS) {
    reader.report(
      'BROKER_PUBLIC_URL',
      `is too long: ${callbackUrl} has ${callbackUrl.length} characters, and Ellipsis Drive accepts at most ${MAX_CALLBACK_URL_LENGTH_CHARS}.`,
    )
  }
  return { ...derived, port }
}

const urlsOf = (publicUrl: string): Pick<Config, 'publicUrl' | 'basePath' | 'callbackUrl'> => ({
  publicUrl,
  basePath: publicUrl.slice(new URL(publicUrl).origin.length),
  callbackUrl: `${publicUrl}/callback`,
})

/** The same configuration at another public URL. */
export const withPublicUrl = (config: Config, publicUrl: string): Config =>
  freeze({ ...config, ...urlsOf(publicUrl) })

function readMetricsPort(reader: Reader, port: number): number | null {
  const metricsPort = reader.optional('BROKER_METRICS_PORT', parse.integer(0, 65_535))
  if (metricsPort !== port || port === 0) return metricsPort
  reader.report('BROKER_METRICS_PORT', 'is the same as BROKER_PORT.', 'Choose another port.')
  return null
}

function readTls(reader: Reader): Config['tls'] {
  const certFile = reader.optional('BROKER_TLS_CERT', parse.text)
  const keyFile = reader.optional('BROKER_TLS_KEY', parse.text)
  if (certFile !== null && keyFile !== null) {
    return { certFile: resolve(certFile), keyFile: resolve(keyFile) }
  }
  if (certFile !== null) reader.report('BROKER_TLS_KEY', 'is not set, but BROKER_TLS_CERT is.')
  if (keyFile !== null) reader.report('BROKER_TLS_CERT', 'is not set, but BROKER_TLS_KEY is.')
  return null
}

/** What a program needs of the environment to run; none of it is a setting of the broker. */
const PROGRAM_VARIABLES = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'SystemRoot']

function readOnEvent(reader: Reader, env: NodeJS.ProcessEnv): Config['onEvent'] {
  const program = reader.optional('BROKER_ON_EVENT', (text) => resolve(text))
  const variables = PROGRAM_VARIABLES.flatMap((name) => {
    const value = env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return program === null ? null : { program, environment: Object.fromEntries(variables) }
}

/** What `readAdminOidc` needs if there is an issuer. */
const REQUIRED_FOR_OIDC = [
  'BROKER_ADMIN_OIDC_CLIENT_ID',
  'BROKER_ADMIN_OIDC_CLIENT_SECRET',
  'BROKER_ADMIN_OIDC_ADMIN_VALUES',
] as const

function readAdminOidc(reader: Reader): Omit<NonNullable<Config['adminOidc']>, 'proxy'> | null {
  const issuer = reader.optional('BROKER_ADMIN_OIDC_ISSUER', parse.issuer)
  const isSet = reader.isSet('BROKER_ADMIN_OIDC_ISSUER')
  for (const name of REQUIRED_FOR_OIDC) {
    if (isSet && !reader.isSet(name)) reader.report(name, 'is not set.')
    if (!isSet && reader.isSet(name))
      reader.report('BROKER_ADMIN_OIDC_ISSUER', `is not set, but ${name} is.`)
  }
  const settings = {
    clientId: reader.optional('BROKER_ADMIN_OIDC_CLIENT_ID', parse.text) ?? '',
    clientSecret: reader.secret('BROKER_ADMIN_OIDC_CLIENT_SECRET', parse.text) ?? new Secret(''),
    scope: reader.value('BROKER_ADMIN_OIDC_SCOPE', parse.openidScope),
    roleClaim: reader.value('BROKER_ADMIN_OIDC_ROLE_CLAIM', parse.text),
    adminValues: reader.optional('BROKER_ADMIN_OIDC_ADMIN_VALUES', parse.list) ?? [],
    viewerValues: reader.optional('BROKER_ADMIN_OIDC_VIEWER_VALUES', parse.list) ?? [],
  }
  return issuer === null ? null : { issuer, ...settings }
}

function readAdminPasswords(reader: Reader): boolean {
  const isOn = reader.value('BROKER_ADMIN_PASSWORDS', parse.oneOf('true', 'false')) === 'true'
  if (!isOn && !reader.isSet('BROKER_ADMIN_OIDC_ISSUER'))
    reader.report('BROKER_ADMIN_PASSWORDS', 'is false, but BROKER_ADMIN_OIDC_ISSUER is not set.')
  return isOn
}

function readCache(reader: Reader): Config['cache'] {
  const directory = reader.optional('BROKER_CACHE_DIR', (text) => resolve(text))
  const maxBytes = reader.value('BROKER_CACHE_SIZE', parse.byteSize('16MiB'))
  return directory === null ? null : { directory, maxBytes }
}

/** A number of requests; `null`: no limit. */
function readLimit(reader: Reader, name: SettingName): number | null {
  return reader.optional(name, parse.integer(0, 1_000_000_000)) || null
}

function readEllipsis(reader: Reader): Config['ellipsis'] {
  const apiUrl = reader.value('ELLIPSIS_API_URL', parse.baseUrl)
  const webUrl = reader.value('ELLIPSIS_WEB_URL', parse.origin)
  const isKnown = reader.isSet('ELLIPSIS_WEB_URL') || apiUrl === table.ELLIPSIS_API_URL.default
  return {
    clientId: reader.optional('ELLIPSIS_CLIENT_ID', parse.text) ?? '',
    clientSecret: reader.secret('ELLIPSIS_CLIENT_SECRET', parse.text) ?? new Secret(''),
    apiUrl,
    webUrl: isKnown ? webUrl : null,
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
    reader.report(
      name,
      'is not set.',
      table[name].where.replace(CALLBACK_URL_PLACEHOLDER, callbackUrl),
    )
  }
}

function warnOfHttpApi({ ellipsis }: Config): string[] {
  if (parse.isHttpsOrLocal(ellipsis.apiUrl)) return []
  return ['ELLIPSIS_API_URL is not https: tokens and the client secret are sent unencrypted.']
}

function freeze(config: Config): Config {
  for (const part of Object.values(config)) Object.freeze(part)
  return Object.freeze(config)
}
