/** An example of `--help`: a command line and what it does. */
type Example = [line: string, description: string]

/** Examples in `--help`, by the command's full name. */
export const examples: Record<string, Example[]> = {
  '': [
    ['demo', 'try it, on temporary data'],
    ['demo --for-my-app http://localhost:5173/', 'develop an app'],
    ['init', 'write a configuration file'],
    ['serve', 'run the broker'],
    ['app add "My map" --redirect-uri https://map.example.com/', 'register an app'],
    ['connection list', 'list connections'],
    ['connection revoke con_…', 'revoke a connection and delete its tokens'],
  ],
  serve: [
    ['serve', 'settings from the environment and .env'],
    ['serve --workers auto', 'one process for each core'],
    ['serve --accept-client-change', 'once, after changing the OAuth client'],
  ],
  init: [
    ['init', 'asks questions and writes .env'],
    [
      'init --client-id … --client-secret-stdin --public-url https://broker.example.com < secret.txt',
      'asks nothing',
    ],
  ],
  demo: [
    ['demo', 'on ports 4000 to 4002'],
    ['demo --port 5000', 'on ports 5000 to 5002'],
    ['demo --for-my-app http://localhost:5173/', 'to develop a page of your own'],
    [
      'demo --for-my-app http://localhost:8080/callback --confidential --data ./demo-data',
      'a server; keeps its data',
    ],
  ],
  'stand-in': [
    ['stand-in --redirect-uri http://127.0.0.1:3000/callback', 'for a broker on this machine'],
  ],
  licenses: [['licenses', 'print all licenses']],
  'app add': [
    ['app add "My map" --redirect-uri https://map.example.com/', 'web app'],
    ['app add Desktop --redirect-uri http://127.0.0.1/callback', 'desktop app, on any port'],
    [
      'app add Nightly --confidential --redirect-uri https://jobs.example.com/cb',
      'server app with a secret',
    ],
    [
      'app add QGIS --tokens ellipsis --redirect-uri http://127.0.0.1:7070',
      'an OAuth library or program that calls Ellipsis Drive itself',
    ],
  ],
  'app list': [['app list --json', 'for scripts']],
  'app show': [['app show app_…', 'show its settings']],
  'app set': [['app set app_… --token-lifetime 90d', 'change one setting']],
  'app remove': [['app remove app_…', 'for all users, immediately']],
  'app rotate-secret': [
    ['app rotate-secret app_… --overlap 7d', 'a week to deploy the new secret'],
  ],
  'connection list': [['connection list --status needs_reconnect', 'users who must reconnect']],
  'connection show': [['connection show con_…', 'its devices and latest events']],
  'connection refresh': [['connection refresh con_…', 'test a connection']],
  'connection revoke': [
    ['connection revoke con_…', 'revoke the whole connection'],
    ['connection revoke con_… --app app_…', 'revoke one app'],
  ],
  'connection erase': [['connection erase con_…', 'for a person who requests it']],
  'connection import': [
    ['connection import tokens.jsonl', 'refresh tokens from your own software'],
  ],
  'admin add': [
    ['admin add you@example.com', 'prompts for a password'],
    ['admin add eve@example.com --role viewer', 'read-only access'],
  ],
  'admin list': [['admin list', 'who may use the dashboard']],
  'admin remove': [['admin remove eve@example.com', 'also ends their sessions']],
  'admin reset-password': [
    ['admin reset-password you@example.com --password-stdin < password.txt', 'from a file'],
  ],
  'admin remove-second-factor': [
    ['admin remove-second-factor you@example.com', 'for a lost phone'],
  ],
  'secret check': [['secret check', 'before and after a rotation']],
  'secret rotate': [['secret rotate', 'while brokers run']],
  'webhook add': [
    ['webhook add https://ops.example.com/events', 'all events, signed with Ed25519'],
    [
      'webhook add https://map.example.com/hook --app app_… --event connection.revoked grant.revoked',
      'tell an app which of its users disconnected',
    ],
    [
      'webhook add https://ops.example.com/events --signature v1',
      'for a receiver that knows only HMAC',
    ],
  ],
  'webhook list': [['webhook list', 'with what waits for each endpoint']],
  'webhook show': [['webhook show whk_…', 'with its public key']],
  'webhook deliveries': [['webhook deliveries whk_… --status failed', 'what did not arrive']],
  'webhook test': [['webhook test whk_…', 'send an event of the type webhook.test']],
  'webhook rotate-secret': [['webhook rotate-secret whk_…', 'both keys sign for 24 hours']],
  'webhook enable': [['webhook enable whk_…', 'after its receiver answered 410']],
  'webhook disable': [['webhook disable whk_…', 'send it no more events']],
  'webhook remove': [['webhook remove whk_…', 'with its pending events']],
  'webhook replay': [
    ['webhook replay whk_… --from 2026-01-31T08:00Z', 'after the receiver was down'],
    ['webhook replay whk_… --delivery 17', 'one event'],
  ],
  events: [
    ['events --follow', 'watch what happens'],
    ['events --json --after evt_…', 'for a program that stores the last id'],
  ],
  backup: [
    ['backup /backups/broker-2026-01-31.db', 'while brokers run'],
    ['backup --keep 7 /backups', 'a dated file; older ones are deleted'],
  ],
  restore: [['restore /backups/broker-2026-01-31.db', 'while no broker runs']],
  'store copy': [
    ['store copy --to postgres://broker@db.example.com/broker', 'while no broker runs'],
    ['store copy --from postgres://broker@db.example.com/broker', 'back into BROKER_DATA_DIR'],
  ],
  'store take-back': [['store take-back', 'if the copy was a mistake']],
  doctor: [['doctor', 'check this installation']],
  health: [['health', 'exit code 0 if the broker is ready']],
  probe: [
    ['probe --no-authorize', 'only tests without an authorization'],
    ['probe --write', 'all tests, with one authorization; writes settings to .env'],
  ],
  'key list': [['key list', 'show which key signs']],
  'key rotate': [['key rotate', 'sign with a new key']],
  'key revoke': [['key revoke KID', 'if the private key may be compromised']],
}

/** Longer lines have their description on the next line. */
const MAX_LINE_LENGTH_CHARS = 44

export function formatExamples(lines: Example[]): string {
  const width = Math.min(MAX_LINE_LENGTH_CHARS, Math.max(...lines.map(([line]) => line.length)))
  const formatted = lines.map(([line, description]) => {
    const text = line.length > width ? `\n      ${description}` : `  ${description}`
    return `  ellipsis-broker ${line.padEnd(width)}${text}`
  })
  return `\nExamples:\n${formatted.join('\n')}`
}
