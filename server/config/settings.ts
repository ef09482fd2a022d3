/** All settings. Error messages, .env.example and docs/configure.md come from this table. */

interface Setting {
  /** Name of the environment variable. */
  name: string
  /** What it is, in one sentence. */
  about: string
  /** Default, as it would be written; `null`: none. */
  default: string | null
  /** Where to find the value, or how to write it. */
  where: string
  /** Never shown. Can also be read from the file that `NAME_FILE` names. */
  secret: boolean
  /** `serve` needs it. */
  required: boolean
}

const optional = { default: null, secret: false, required: false }

/** The callback URL in `where`; error messages contain the real one. */
export const CALLBACK_URL_PLACEHOLDER = 'BROKER_PUBLIC_URL/callback'

export const table = {
  ELLIPSIS_CLIENT_ID: {
    ...optional,
    about: 'The id of your OAuth client at Ellipsis Drive.',
    where: `Ellipsis Drive → Account settings → Developer settings: register an OAuth client with the callback URL ${CALLBACK_URL_PLACEHOLDER}.`,
    required: true,
  },
  ELLIPSIS_CLIENT_SECRET: {
    ...optional,
    about: 'The secret of that OAuth client.',
    where: 'Ellipsis Drive shows it next to the client id when you register the client.',
    secret: true,
    required: true,
  },
  ELLIPSIS_API_URL: {
    ...optional,
    about: 'The base URL of the Ellipsis Drive API.',
    default: 'https://api.ellipsis-drive.com/v3',
    where: 'Set it for another deployment, for example a self-hosted one.',
  },
  ELLIPSIS_WEB_URL: {
    ...optional,
    about: 'The origin of the Ellipsis Drive web app, for links on the broker’s pages.',
    default: 'https://app.ellipsis-drive.com',
    where: 'Set it together with ELLIPSIS_API_URL; the default applies only to the default API.',
  },
  ELLIPSIS_TOKEN_REQUEST: {
    ...optional,
    about: 'The encoding of requests to the Ellipsis Drive token endpoint: form or json.',
    default: 'form',
    where: 'Try json if connecting fails at the token endpoint.',
  },
  ELLIPSIS_ACCESS_TOKEN_LIFETIME: {
    ...optional,
    about: 'The lifetime of an access token in seconds, if Ellipsis Drive does not return one.',
    default: '3600',
    where: 'A whole number of seconds. Lower it if apps get expired tokens.',
  },
  BROKER_PUBLIC_URL: {
    ...optional,
    about: 'The URL of the broker for browsers and apps, including its base path.',
    default: 'http://127.0.0.1:3000',
    where:
      'For example https://broker.example.com or https://example.com/broker; the default follows BROKER_PORT.',
  },
  BROKER_HOST: {
    ...optional,
    about: 'The address that the broker listens on.',
    default: '127.0.0.1',
    where: '0.0.0.0 for all IPv4 addresses, :: for all addresses; a container needs one of these.',
  },
  BROKER_PORT: {
    ...optional,
    about: 'The port that the broker listens on.',
    default: '3000',
    where: 'A whole number; 0 for any free port (BROKER_PUBLIC_URL is then required).',
  },
  BROKER_TLS_CERT: {
    ...optional,
    about: 'A file with the TLS certificate and its chain, for https without a proxy.',
    where:
      'For example /etc/letsencrypt/live/broker.example.com/fullchain.pem. A renewed certificate is loaded within a minute.',
  },
  BROKER_TLS_KEY: {
    ...optional,
    about: 'A file with the private key of the TLS certificate.',
    where: 'For example /etc/letsencrypt/live/broker.example.com/privkey.pem.',
  },
  BROKER_DATA_DIR: {
    ...optional,
    about:
      'The directory of the database and, unless BROKER_SECRETS is set, of the encryption key.',
    default: './data',
    where: 'A directory on a local disk that only the broker can read.',
  },
  BROKER_DATABASE_URL: {
    ...optional,
    about:
      'The PostgreSQL database (14 or later) that several hosts share. If not set, SQLite in BROKER_DATA_DIR.',
    where:
      'For example postgres://broker:PASSWORD@db.example.com/broker?sslmode=verify-full; several servers: HOST-1:5432,HOST-2:5432. See docs/scale.md.',
    secret: true,
  },
  BROKER_NATIVE_DIR: {
    ...optional,
    about:
      'The directory where the single binary writes its native database code. Each start verifies the hash of that code.',
    where: 'Only needed if BROKER_DATA_DIR is on a noexec file system.',
  },
  BROKER_SECRETS: {
    ...optional,
    about:
      'The keys that encrypt stored tokens, separated by commas. The first key encrypts; all keys decrypt.',
    where:
      "Generate one with: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='. If not set, the key is in the file secret.key in BROKER_DATA_DIR.",
    secret: true,
  },
  BROKER_TRUST_PROXY: {
    ...optional,
    about: 'The addresses of your reverse proxies, whose X-Forwarded-For header is trusted.',
    where: 'Addresses or networks, separated by commas. For example 127.0.0.1,10.0.0.0/8.',
  },
  BROKER_JWKS_ALLOW: {
    ...optional,
    about: 'The private networks from which the keys of apps (jwks_uri) may be fetched.',
    where:
      'Addresses or networks, separated by commas. For example 10.20.0.0/16. Public addresses are always allowed.',
  },
  BROKER_WEBHOOK_ALLOW: {
    ...optional,
    about: 'The private networks that webhooks may reach, also without https.',
    where:
      'Addresses or networks, separated by commas. For example 10.20.0.0/16. Public addresses are always allowed.',
  },
  BROKER_METRICS_TOKEN: {
    ...optional,
    about:
      'The bearer token for /metrics, also on BROKER_METRICS_PORT. If not set, /metrics is only served on that port.',
    where: 'Generate one with: openssl rand -hex 32.',
    secret: true,
  },
  BROKER_METRICS_PORT: {
    ...optional,
    about: 'A port of 127.0.0.1 that serves /metrics to programs on this machine.',
    where:
      'A whole number, for example 9464; 0 for any free port. Never let a proxy forward to this port.',
  },
  BROKER_LOG_LEVEL: {
    ...optional,
    about: 'The lowest level that is logged.',
    default: 'info',
    where: 'One of trace, debug, info, warn, error, fatal, silent.',
  },
  BROKER_MIN_TTL: {
    ...optional,
    about:
      'The minimum remaining lifetime of an access token in seconds. An app’s min_ttl can only raise it.',
    default: '60',
    where: 'A whole number of seconds, well below the lifetime of an access token.',
  },
  BROKER_EVENT_DAYS: {
    ...optional,
    about: 'The number of days that events are kept.',
    default: '400',
    where: 'A whole number of days.',
  },
  BROKER_ON_EVENT: {
    ...optional,
    about:
      'A program that runs once for each event, with the event as JSON on its standard input: docs/events.md.',
    where:
      'The path of an executable file, without arguments; a script starts with #! and its interpreter. It gets no setting of the broker.',
  },
  BROKER_FAILURE_LIMIT: {
    ...optional,
    about:
      'The number of failed requests per minute that one address may send to endpoints where codes, tokens and secrets could be guessed. Successful requests do not count.',
    default: '300',
    where: 'A whole number.',
  },
  BROKER_UPLOAD_LIMIT: {
    ...optional,
    about: 'The largest request body that an app may send to Ellipsis Drive through /drive.',
    default: '10GiB',
    where: 'A whole number with the unit KiB, MiB or GiB. A reverse proxy needs the same limit.',
  },
  BROKER_OFFLINE_REFRESHES_PER_SECOND: {
    ...optional,
    about:
      'The number of access tokens per second that each broker process fetches from Ellipsis Drive for offline apps, which ask without their users.',
    default: '10',
    where: 'A whole number. Requests beyond it wait for some seconds, or get slow_down.',
  },
  BROKER_REQUIRE_SECOND_FACTOR: {
    ...optional,
    about:
      'Whether every admin needs a second factor. One without it sets it up after the password, and can do nothing else before.',
    default: 'false',
    where: 'true or false.',
  },
  BROKER_ADMIN_OIDC_ISSUER: {
    ...optional,
    about: 'The OpenID Connect issuer of your identity provider, with which admins may sign in.',
    where:
      'For example https://id.example.com or https://sso.example.com/realms/main. Register BROKER_PUBLIC_URL/admin/oidc/callback there as redirect URI, and BROKER_PUBLIC_URL/admin/oidc/logout for back-channel logout.',
  },
  BROKER_ADMIN_OIDC_CLIENT_ID: {
    ...optional,
    about: 'The id of this broker as a client of the identity provider.',
    where: 'The identity provider shows it when you register the client (confidential, with PKCE).',
  },
  BROKER_ADMIN_OIDC_CLIENT_SECRET: {
    ...optional,
    about: 'The secret of that client.',
    where: 'The identity provider shows it next to the client id.',
    secret: true,
  },
  BROKER_ADMIN_OIDC_SCOPE: {
    ...optional,
    about: 'The scopes that the broker asks the identity provider for, separated by spaces.',
    default: 'openid profile email',
    where: 'Add the scope that gives the claim with the roles, such as groups for Pocket ID.',
  },
  BROKER_ADMIN_OIDC_ROLE_CLAIM: {
    ...optional,
    about:
      'The claim of the ID token, or of the userinfo endpoint, whose values decide the role of an admin at each sign-in.',
    default: 'groups',
    where: 'A name, or a path with dots such as realm_access.roles.',
  },
  BROKER_ADMIN_OIDC_ADMIN_VALUES: {
    ...optional,
    about: 'The values of that claim that give the role admin.',
    where: 'Exact values, separated by commas. For example broker-admins.',
  },
  BROKER_ADMIN_OIDC_VIEWER_VALUES: {
    ...optional,
    about:
      'The values of that claim that give the role viewer (read-only). People without any of these values can’t sign in.',
    where: 'Exact values, separated by commas. For example broker-viewers.',
  },
  BROKER_ADMIN_PASSWORDS: {
    ...optional,
    about:
      'Whether admins may sign in with passwords and passkeys. If not, they sign in with the identity provider only, or with a link that `admin add` prints.',
    default: 'true',
    where: 'true or false; false requires BROKER_ADMIN_OIDC_ISSUER.',
  },
  BROKER_CACHE_DIR: {
    ...optional,
    about:
      'The directory of the cache for answers of the Ellipsis Drive API to the proxy and to links. If not set, nothing is cached.',
    where:
      'A directory that only the broker can read, empty at first. Cached maps are not encrypted. Brokers of one data directory may share it.',
  },
  BROKER_CACHE_SIZE: {
    ...optional,
    about: 'How much of the disk the cache uses.',
    default: '1GiB',
    where: 'A number with KiB, MiB, GiB or TiB, at least 16MiB.',
  },
  BROKER_CONNECTION_REQUESTS_PER_MINUTE: {
    ...optional,
    about:
      'The number of requests per minute that the broker forwards to the Ellipsis Drive API for one connected user. Answers from the cache do not count.',
    where: 'A whole number. If not set, or 0, there is no limit.',
  },
  BROKER_CONNECTION_REQUESTS_PER_DAY: {
    ...optional,
    about: 'The same number per day (UTC).',
    where: 'A whole number. If not set, or 0, there is no limit.',
  },
  BROKER_NAME: {
    ...optional,
    about: 'Who runs this broker, as shown to users who connect.',
    where: 'For example your name or the name of your organisation.',
  },
  BROKER_CONTACT: {
    ...optional,
    about: 'How users who connect can reach you.',
    where: 'An e-mail address or the https URL of a page.',
  },
  BROKER_PRIVACY_URL: {
    ...optional,
    about: 'Your privacy statement, linked on the pages where users connect.',
    where: 'The https URL of a page.',
  },
} satisfies Record<string, Omit<Setting, 'name'>>

export type SettingName = keyof typeof table

/** All settings, in the order of the documentation. */
export const settings: readonly Setting[] = Object.entries(table).map(([name, setting]) => ({
  name,
  ...setting,
}))

/** Values of settings, or of the files that contain them. */
export type SettingValues = Partial<Record<SettingName | `${SettingName}_FILE`, string>>

/**
 * The text of a configuration file that explains every setting.
 * @param values settings to set; the others are comments. Each one `isPortable`
 */
export function formatEnvFile(values: SettingValues, introduction: string): string {
  const entries = settings.map(
    ({ name, about, where, default: defaultValue, secret, required }) => {
      const value = values[name as SettingName]
      const file = values[`${name as SettingName}_FILE`]
      const isSet = value !== undefined || required
      const assignment = isSet ? `${name}=${value ?? ''}` : `# ${name}=${defaultValue ?? ''}`
      return [
        `# ${about}`,
        `# ${where}`,
        ...(secret ? [`# A secret: ${name}_FILE can name a file that contains it.`] : []),
        file === undefined ? assignment : `${name}_FILE=${file}`,
      ].join('\n')
    },
  )
  return `${[introduction, ...entries].join('\n\n')}\n`
}

/**
 * Does every reader of a configuration file read this value as it is: the broker, `sh`, systemd's EnvironmentFile
 * and `docker --env-file`? Docker keeps quotation marks, so the value can't be quoted; and `sh` interprets what
 * is not quoted, such as `$`, and `~` or `=` at the beginning of a word.
 */
export const isPortable = (value: string): boolean =>
  /^[\p{L}\p{M}\p{N}_.,:/@+=%^!?*{}[\]~-]*$/u.test(value) && !/^=|(^|[:=])~/.test(value)

/** The text of `.env.example`. */
export const formatEnvExample = (): string => formatEnvFile({}, INTRODUCTION)

const INTRODUCTION = `# Settings of Ellipsis Broker. Copy this file to .env and set the first two.
# The environment overrides .env. Lines that begin with # show defaults and settings without a value.`
