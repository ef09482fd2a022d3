/**
 * Every message that an operator's command can end with: what it says, and the mend. docs/operate.md lists
 * them from here. `{…}` stands for what differs.
 */
interface Message {
  /** The command that ends with it; `start`: every command on the data. */
  command: string
  /** Exit code: 0 done, 1 failed, 2 wrong usage or configuration. */
  exit: 0 | 1 | 2
  says: string
  /** What to do; empty: nothing. */
  mend: string
}

export const messages = {
  'start.key-missing': {
    command: 'start',
    exit: 2,
    says: 'The data in {directory} is encrypted, and its key is missing.',
    mend: 'Put the file secret.key back there, or set BROKER_SECRETS to the key that was used. A new key would not open it: without the old one every user has to connect again, on an empty BROKER_DATA_DIR.',
  },
  'start.key-unreadable': {
    command: 'start',
    exit: 2,
    says: '{file} holds no key of 32 bytes in base64url.',
    mend: 'Put back the file that was there.',
  },
  'start.key-other': {
    command: 'start',
    exit: 2,
    says: 'The data in {directory} is encrypted with a key that {source} doesn’t hold.',
    mend: 'Put back the key with the fingerprint {fingerprints}: in BROKER_SECRETS after a comma, in secret.key on a line of its own. It can go once `secret rotate` has ended well.',
  },
  'start.client-changed': {
    command: 'start',
    exit: 2,
    says: 'The connections in this data directory belong to {name}={before}, and it is now {now}.',
    mend: 'Their refresh tokens would be refused. Put the setting back, use another BROKER_DATA_DIR, or, if this is meant, start once with `serve --accept-client-change`: every user then has to connect again.',
  },
  'start.newer': {
    command: 'start',
    exit: 2,
    says: '{file} was written by a newer version of this program.',
    mend: 'Start that version, or restore a backup that was made before it.',
  },

  'secret.check.ok': {
    command: 'secret check',
    exit: 0,
    says: 'All {values} sealed values open: {keys}.',
    mend: '',
  },
  'secret.check.failed': {
    command: 'secret check',
    exit: 1,
    says: '{failed} of {values} sealed values don’t open: {places}.',
    mend: 'Where a key is missing, put it back: in BROKER_SECRETS after a comma, in secret.key on a line of its own. A value that was changed can’t be mended: restore a backup, or let that user connect again.',
  },
  'secret.rotate.done': {
    command: 'secret rotate',
    exit: 0,
    says: 'Everything is sealed with the key {key} now; {resealed} values were sealed anew. The old key is out of secret.key.',
    mend: 'Copy secret.key to where you keep its copy, and make a new backup: backups made before open only with the old key, so keep the old copy for as long as them.',
  },
  'secret.rotate.done-variable': {
    command: 'secret rotate',
    exit: 0,
    says: 'Everything is sealed with the first key of BROKER_SECRETS, {key}; {resealed} values were sealed anew.',
    mend: 'Take the other keys ({others}) out of BROKER_SECRETS and restart every broker. Make a new backup: those made before open only with the old key.',
  },
  'secret.rotate.nothing': {
    command: 'secret rotate',
    exit: 0,
    says: 'Nothing to do: everything is sealed with the first key of BROKER_SECRETS, {key}.',
    mend: "To change it: 1. Make a key: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='. 2. Set BROKER_SECRETS=OLD,NEW for every broker, and restart them. 3. Set BROKER_SECRETS=NEW,OLD, and restart them. 4. Run `secret rotate`. 5. Set BROKER_SECRETS=NEW, and restart them.",
  },
  'secret.rotate.busy': {
    command: 'secret rotate',
    exit: 1,
    says: 'Another `secret rotate` is at work on this data directory.',
    mend: 'Wait for it. If it was killed, run this one again.',
  },
  'secret.rotate.waiting': {
    command: 'secret rotate',
    exit: 1,
    says: 'These processes don’t use the new key yet: {processes}. Nothing is lost, and the old key is still in its place.',
    mend: 'A running broker takes up a change of secret.key within seconds, and one of BROKER_SECRETS with a restart: restart or end them, and run `secret rotate` again.',
  },
  'secret.rotate.unopened': {
    command: 'secret rotate',
    exit: 1,
    says: '{failed} values don’t open: {places}. The others are sealed anew; the old key is still in its place.',
    mend: 'Put the missing key back and run `secret rotate` again. `secret check` names them all.',
  },
  'key.rotate.done': {
    command: 'key rotate',
    exit: 0,
    says: 'Key {kid} signs from now on; it has been published since {since}. The one before verifies until the last token that it signed has ended.',
    mend: '',
  },
  'key.rotate.young': {
    command: 'key rotate',
    exit: 0,
    says: 'Key {kid} signs from now on; it has been published since {since} only.',
    mend: 'Those who verify broker tokens themselves and cache the keys for longer refuse new tokens until they load /.well-known/jwks.json again.',
  },
  'key.revoke.done': {
    command: 'key revoke',
    exit: 0,
    says: 'Revoked {kid}. Broker tokens that it signed are refused from now on, by every process; their users connect again.',
    mend: '',
  },
  'key.revoke.none': {
    command: 'key revoke',
    exit: 2,
    says: 'There is no live key {kid}.',
    mend: '`key list` shows those that there are.',
  },
} satisfies Record<string, Message>

export type MessageName = keyof typeof messages
export type Values = Record<string, string | number>

/** A message with its mend, as it is printed. */
export function message(name: MessageName, values: Values = {}): string {
  const { says, mend } = messages[name]
  const text = mend === '' ? says : `${says}\n${mend}`
  return text.replace(/\{(\w+)\}/g, (_all, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`message ${name} needs ${key}`)
    return typeof value === 'number' ? value.toLocaleString('en') : value
  })
}

/** How a command ends that didn't do what it was asked to. */
export class Ended extends Error {
  override name = 'Ended'
  readonly code: MessageName
  readonly exitCode: number

  constructor(code: MessageName, values: Values = {}) {
    super(message(code, values))
    this.code = code
    this.exitCode = messages[code].exit
  }
}
