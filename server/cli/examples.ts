/** What `--help` shows of each command, by its whole name: a line to run, and what it does. */
export const examples: Record<string, [line: string, what: string][]> = {
  '': [
    ['demo', 'see it work, on temporary data'],
    ['init', 'write a configuration file'],
    ['serve', 'the broker'],
    ['app add "My map" --redirect-uri https://map.example.com/', 'register an app'],
    ['connection list', 'who is connected'],
    ['connection revoke con_…', 'cut one off, and delete its tokens'],
  ],
  serve: [
    ['serve', 'with what the environment and .env say'],
    ['serve --accept-client-change', 'once, after a change of the client at Ellipsis Drive'],
  ],
  init: [
    ['init', 'asks, and writes .env'],
    [
      'init --client-id … --client-secret-stdin --public-url https://broker.example.com < secret.txt',
      'asks nothing',
    ],
  ],
  demo: [
    ['demo', 'on ports 4000 to 4002'],
    ['demo --port 5000', 'on ports 5000 to 5002'],
  ],
  'stand-in': [
    ['stand-in --redirect-uri http://127.0.0.1:3000/callback', 'for a broker on this machine'],
  ],
  licenses: [['licenses', 'what is inside, and on what terms']],
  'app add': [
    ['app add "My map" --redirect-uri https://map.example.com/', 'runs in a browser'],
    [
      'app add Desktop --redirect-uri http://127.0.0.1/callback',
      'on any port of the user’s machine',
    ],
    ['app add Nightly --confidential --redirect-uri https://jobs.example.com/cb', 'has a secret'],
  ],
  'app list': [['app list --json', 'for a program']],
  'app show': [['app show app_…', 'its settings']],
  'app set': [['app set app_… --token-lifetime 90d', 'change one setting']],
  'app remove': [['app remove app_…', 'for everyone, at once']],
  'app rotate-secret': [['app rotate-secret app_… --overlap 7d', 'time to bring the new one out']],
  'connection list': [['connection list --status needs_reconnect', 'who has to connect again']],
  'connection show': [['connection show con_…', 'its devices and latest events']],
  'connection refresh': [['connection refresh con_…', 'does it work?']],
  'connection revoke': [
    ['connection revoke con_…', 'everything of that account'],
    ['connection revoke con_… --app app_…', 'one app’s access to it'],
  ],
  'admin add': [
    ['admin add you@example.com', 'asks for a password'],
    ['admin add eve@example.com --role viewer', 'may look, and change nothing'],
  ],
  'admin list': [['admin list', 'who may use the dashboard']],
  'admin remove': [['admin remove eve@example.com', 'ends their sessions too']],
  'admin reset-password': [
    ['admin reset-password you@example.com --password-stdin < password.txt', 'from a file'],
  ],
  'connection import': [
    ['connection import tokens.jsonl', 'refresh tokens that you kept until now'],
  ],
  doctor: [['doctor', 'what is wrong with this installation, and the mend']],
  probe: [
    ['probe --no-authorize', 'what can be asked without a grant'],
    ['probe --write', 'all of it, with one authorization of yours; settings go into .env'],
  ],
  'connection erase': [['connection erase con_…', 'for a person who asks for it']],
  'secret check': [['secret check', 'before a rotation, and after']],
  'secret rotate': [['secret rotate', 'while brokers serve']],
  'admin remove-second-factor': [
    ['admin remove-second-factor you@example.com', 'for who lost the phone'],
  ],
  backup: [['backup /backups/broker-2026-01-31.db', 'while the broker serves']],
  restore: [['restore /backups/broker-2026-01-31.db', 'while no broker runs']],
  'key list': [['key list', 'which key signs']],
  'key rotate': [['key rotate', 'sign with a new one']],
  'key revoke': [['key revoke KID', 'if it may be known to others']],
}

/** Longer lines have their words below them. */
const WIDTH = 44

export function describeExamples(lines: [line: string, what: string][]): string {
  const width = Math.min(WIDTH, Math.max(...lines.map(([line]) => line.length)))
  const shown = lines.map(([line, what]) => {
    const words = line.length > width ? `\n      ${what}` : `  ${what}`
    return `  ellipsis-broker ${line.padEnd(width)}${words}`
  })
  return `\nExamples:\n${shown.join('\n')}`
}
