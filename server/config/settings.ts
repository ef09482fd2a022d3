/**
 * The table of all settings. Error messages, .env.example and the documentation come from it.
 */

export interface Setting {
  /** Name of the environment variable. */
  name: string
  /** What it is, in one sentence. */
  about: string
  /** What holds if it isn't set, as it would be written; `null`: nothing. */
  default: string | null
  /** Where it is found, or how one gets or writes it. */
  where: string
  /** Never shown, and also read from the file that `NAME_FILE` names. */
  secret: boolean
  /** The broker doesn't serve without it. */
  required: boolean
}

const plain = { default: null, secret: false, required: false }

/** Stands for the callback URL in `where`; an error message has the real one. */
export const CALLBACK = 'BROKER_PUBLIC_URL/callback'

export const table = {
  ELLIPSIS_CLIENT_ID: {
    ...plain,
    about: 'The id of your OAuth client at Ellipsis Drive.',
    where: `Ellipsis Drive → Account settings → Developer settings: register an OAuth client with the callback URL ${CALLBACK}.`,
    required: true,
  },
  ELLIPSIS_CLIENT_SECRET: {
    ...plain,
    about: "That OAuth client's secret.",
    where: 'Ellipsis Drive shows it beside the client id, when you register the client.',
    secret: true,
    required: true,
  },
  ELLIPSIS_API_URL: {
    ...plain,
    about: "The base URL of Ellipsis Drive's API.",
    default: 'https://api.ellipsis-drive.com/v3',
    where: 'Set it for another deployment, such as one that you host yourself.',
  },
  ELLIPSIS_WEB_URL: {
    ...plain,
    about: "The origin of Ellipsis Drive's web app, to which the broker's pages lead.",
    default: 'https://app.ellipsis-drive.com',
    where: 'Set it along with ELLIPSIS_API_URL; the default goes with the default API only.',
  },
  ELLIPSIS_TOKEN_REQUEST: {
    ...plain,
    about: "How requests to Ellipsis Drive's token endpoint are encoded: form or json.",
    default: 'form',
    where: 'Try json if connecting fails at the token endpoint.',
  },
  ELLIPSIS_ACCESS_TOKEN_LIFETIME: {
    ...plain,
    about: "Seconds that an access token is taken to live where Ellipsis Drive doesn't say.",
    default: '3600',
    where: 'A whole number of seconds. Lower it if apps get tokens that no longer work.',
  },
  BROKER_PUBLIC_URL: {
    ...plain,
    about: "The broker's URL as browsers and apps see it, with its base path if it has one.",
    default: 'http://127.0.0.1:3000',
    where:
      'Such as https://broker.example.com or https://example.com/broker; the default follows BROKER_PORT.',
  },
  BROKER_HOST: {
    ...plain,
    about: 'The address that the broker listens on.',
    default: '127.0.0.1',
    where: '0.0.0.0 for all of IPv4, :: for all; a container needs one of these.',
  },
  BROKER_PORT: {
    ...plain,
    about: 'The port that the broker listens on.',
    default: '3000',
    where: 'A whole number; 0 for any free port, and then BROKER_PUBLIC_URL must be set.',
  },
  BROKER_TLS_CERT: {
    ...plain,
    about: 'A file with the TLS certificate and its chain, to serve https without a proxy.',
    where:
      'Such as /etc/letsencrypt/live/broker.example.com/fullchain.pem. A renewed one is taken over within a minute.',
  },
  BROKER_TLS_KEY: {
    ...plain,
    about: "The file with that certificate's private key.",
    where: 'Such as /etc/letsencrypt/live/broker.example.com/privkey.pem.',
  },
  BROKER_DATA_DIR: {
    ...plain,
    about:
      'The directory of the database and, unless BROKER_SECRETS is set, of the encryption key.',
    default: './data',
    where: 'Any directory on a local disk that only the broker can read.',
  },
  BROKER_NATIVE_DIR: {
    ...plain,
    about:
      'Where the single file writes the native code of its database, which it checks by its hash at each start.',
    where: 'Not needed, unless BROKER_DATA_DIR is on a file system that runs nothing (noexec).',
  },
  BROKER_SECRETS: {
    ...plain,
    about:
      'The keys that stored tokens are encrypted with, separated by commas: the first encrypts, all decrypt.',
    where:
      "Make one with: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='. Without it the file secret.key in BROKER_DATA_DIR holds one.",
    secret: true,
  },
  BROKER_TRUST_PROXY: {
    ...plain,
    about:
      "The addresses of your reverse proxies, whose X-Forwarded-For header tells a visitor's address.",
    where: 'Addresses or networks, separated by commas, such as 127.0.0.1,10.0.0.0/8.',
  },
  BROKER_METRICS_TOKEN: {
    ...plain,
    about:
      'The bearer token that opens /metrics to other machines; without it, only this one reads it.',
    where: 'Make one with: openssl rand -hex 32.',
    secret: true,
  },
  BROKER_LOG_LEVEL: {
    ...plain,
    about: 'The least severe that is logged.',
    default: 'info',
    where: 'One of trace, debug, info, warn, error, fatal, silent.',
  },
  BROKER_MIN_TTL: {
    ...plain,
    about:
      "Seconds that an access token must be valid for; an app's min_ttl can only ask for more.",
    default: '60',
    where: 'A whole number of seconds, well below the life of an access token.',
  },
  BROKER_EVENT_DAYS: {
    ...plain,
    about: 'Days that the record of events is kept.',
    default: '400',
    where: 'A whole number of days.',
  },
  BROKER_FAILURE_LIMIT: {
    ...plain,
    about:
      'Failed requests that one address may make in a minute where codes, tokens and secrets could be guessed; successes never count.',
    default: '300',
    where: 'A whole number.',
  },
  BROKER_NAME: {
    ...plain,
    about: 'Who runs this broker, as shown to the people who connect.',
    where: 'Such as your name, or that of your organisation.',
  },
  BROKER_CONTACT: {
    ...plain,
    about: 'How the people who connect reach you.',
    where: 'An e-mail address, or the https URL of a page.',
  },
  BROKER_PRIVACY_URL: {
    ...plain,
    about: 'Your privacy statement, linked where people connect.',
    where: 'The https URL of a page.',
  },
} satisfies Record<string, Omit<Setting, 'name'>>

export type SettingName = keyof typeof table

/** All settings, in the order in which they are explained. */
export const settings: readonly Setting[] = Object.entries(table).map(([name, setting]) => ({
  name,
  ...setting,
}))

/**
 * The text of a configuration file that explains every setting: `.env.example`, and what `init` writes.
 * @param values what is set; the rest is there as a comment
 */
export function envFile(
  values: Partial<Record<SettingName, string>>,
  introduction: string,
): string {
  const entries = settings.map(({ name, about, where, default: usual, secret, required }) => {
    const value = values[name as SettingName]
    const set = value !== undefined || required
    return [
      `# ${about}`,
      `# ${where}`,
      ...(secret ? [`# A secret: ${name}_FILE names a file that holds it instead.`] : []),
      set ? `${name}=${quoted(value ?? '')}` : `# ${name}=${usual ?? ''}`,
    ].join('\n')
  })
  return `${[introduction, ...entries].join('\n\n')}\n`
}

/** As a value is written: in quotes that it doesn't have itself, where it needs any. */
function quoted(value: string): string {
  if (/^[\w.,:/@+=~-]*$/.test(value)) return value
  const quote = ["'", '"'].find((mark) => !value.includes(mark)) ?? ''
  return quote + value + quote
}

/** The text of `.env.example`: what must be set, and what may be. */
export const envExample = (): string => envFile({}, INTRODUCTION)

const INTRODUCTION = `# Settings of Ellipsis Broker. Copy this file to .env and set the first two.
# What is set in the environment wins over .env. A line with a # shows a default, or a setting that has none.`
