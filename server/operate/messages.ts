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
  'start.change-open': {
    command: 'start',
    exit: 2,
    says: 'The data is to belong to another OAuth client or API, and these processes still work with the former: {processes}.',
    mend: 'Stop them, and run the same again.',
  },
  'start.change-cut-off': {
    command: 'start',
    exit: 2,
    says: 'A change of the OAuth client or API was begun with `serve --accept-client-change`, and cut off.',
    mend: 'Start once with `serve --accept-client-change` again: it is completed then.',
  },
  'start.gone': {
    command: 'start',
    exit: 2,
    says: 'The database of {directory} is gone from there, and these processes still work on it: {processes}.',
    mend: 'Stop them, as what they write is lost with it. Put the database back where it was, or restore the last backup, and start.',
  },
  'start.newer': {
    command: 'start',
    exit: 2,
    says: '{file} was written by a newer version of this program.',
    mend: 'Start that version, or restore a backup that was made before it.',
  },
  'start.full': {
    command: 'start',
    exit: 2,
    says: 'There is no room left where {directory} is.',
    mend: 'Make room there, more than broker.db takes, and run it again: what was stored is whole.',
  },
  'start.closed': {
    command: 'start',
    exit: 2,
    says: 'The data directory {directory} can’t be read and written.',
    mend: 'Let the user that the broker runs as own the directory and all that is in it, on a file system that takes writes; or set BROKER_DATA_DIR to another.',
  },
  'start.damaged': {
    command: 'start',
    exit: 2,
    says: 'The database in {directory} is damaged, or is none.',
    mend: 'Stop every broker, keep the directory as it is, look at the disk, and restore the last good backup.',
  },
  'data.none': {
    command: 'start',
    exit: 2,
    says: 'There is no database in {directory}.',
    mend: 'Set BROKER_DATA_DIR to the directory that `serve` works with; its first start makes the database.',
  },
  'start.busy': {
    command: 'start',
    exit: 2,
    says: 'Another process has kept the data in {directory} to itself for a minute.',
    mend: 'Wait for it: the first start of a newer version may have much data to change. Then run it again.',
  },
  'start.no-copy': {
    command: 'start',
    exit: 2,
    says: 'The database is about to be changed, and the copy that is kept of it before, {file}, could not be written.',
    mend: 'Make room for it, as much as broker.db takes, and start again: nothing has changed.',
  },

  'serve.port': {
    command: 'serve',
    exit: 2,
    says: 'Port {port} of {host} is taken.',
    mend: 'It may be by a broker that runs already (`ss -ltnp` names the process): stop that, or choose another port, with BROKER_PORT; for `demo` and `stand-in`, with --port.',
  },
  'serve.address': {
    command: 'serve',
    exit: 2,
    says: 'Nothing may listen on port {port} of {host}.',
    mend: 'Set BROKER_HOST to an address of this machine, such as 127.0.0.1, and BROKER_PORT to a port above 1023: those below are for root.',
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
    says: 'Everything is sealed with the key {key} now; {resealed} values were sealed anew. The old key is out of secret.key, in {kept}.',
    mend: 'Copy secret.key to where you keep its copy, and make a new backup: backups made before open only with the old key. Move the file with the old key to where its copies are, and delete it once you keep no backup from before.',
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
    mend: 'Put the missing key back and run `secret rotate` again; `secret check` names them all. Where that key is gone for good, `connection revoke` ends a connection whose values don’t open, and its user connects again.',
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

  'backup.done': {
    command: 'backup',
    exit: 0,
    says: 'Backed up {connections} connections to {file} ({megabytes} MB), as of {at}.',
    mend: 'It opens with the encryption keys {keys} only, and holds none: keep a copy of {directory}/secret.key, or of BROKER_SECRETS, at another place than the backups. What is revoked from now on is still in this file: delete backups that you no longer need.',
  },
  'backup.exists': {
    command: 'backup',
    exit: 2,
    says: '{file} is there already, and no backup overwrites anything.',
    mend: 'Choose another name, such as one with the date.',
  },
  'backup.no-directory': {
    command: 'backup',
    exit: 2,
    says: 'There is no directory {directory}.',
    mend: 'Make it, or choose another.',
  },
  'backup.damaged': {
    command: 'backup',
    exit: 1,
    says: 'The database is damaged, and so was its copy, which is gone again: {problem}.',
    mend: 'Keep the data directory as it is, look at the disk, and restore the last good backup.',
  },
  'backup.failed': {
    command: 'backup',
    exit: 1,
    says: '{file} could not be written: {reason}. Nothing is left of it.',
    mend: 'Make room, or choose another place; then run it again.',
  },
  'restore.done': {
    command: 'restore',
    exit: 0,
    says: 'Restored {connections} connections as of {at}. What had ended since then has ended here too: {carried}. The store that was here is kept: {replaced}.',
    mend: 'Start the brokers. Where Ellipsis Drive has replaced a refresh token since the backup, it refuses the one that was restored, and that user connects again; `connection list --status needs_reconnect` shows them. Delete the former store when all is well: it holds tokens.',
  },
  'restore.done-uncompared': {
    command: 'restore',
    exit: 0,
    says: 'Restored {connections} connections as of {at}, without knowing all that was revoked since. Carried over: {carried}. The store that was here is kept: {replaced}.',
    mend: 'Revoke again what you know to have been revoked since then, and start the brokers. Where Ellipsis Drive has replaced a refresh token since the backup, that user connects again.',
  },
  'restore.completed': {
    command: 'restore',
    exit: 0,
    says: 'The restore of {file} that had been cut off is complete.',
    mend: 'Start the brokers.',
  },
  'restore.incomparable': {
    command: 'restore',
    exit: 1,
    says: 'It can’t be told what was revoked since {file} was made: the store that is here is missing, damaged, or not what that backup has become. Nothing has changed.',
    mend: 'Run it again with --accept-revoked if it may be that connections, devices, apps, admins or keys which were revoked since then work again.',
  },
  'restore.open': {
    command: 'restore',
    exit: 1,
    says: 'The data in {directory} is in use by {processes}.',
    mend: 'Stop these processes, and run it again.',
  },
  'restore.no-file': {
    command: 'restore',
    exit: 2,
    says: 'There is no file {file}.',
    mend: 'Name a file that `backup` has written.',
  },
  'restore.unreadable': {
    command: 'restore',
    exit: 2,
    says: 'This user can’t read {file} ({reason}).',
    mend: 'A backup belongs to whoever made it: give it to the broker’s user (`chown`), or run this as root.',
  },
  'restore.itself': {
    command: 'restore',
    exit: 2,
    says: '{file} is the store itself.',
    mend: 'Name a file that `backup` has written.',
  },
  'restore.damaged': {
    command: 'restore',
    exit: 1,
    says: '{file} is damaged: {problem}. Nothing has changed.',
    mend: 'Use another backup.',
  },
  'restore.not-ours': {
    command: 'restore',
    exit: 2,
    says: '{file} is a database, but no broker’s.',
    mend: 'Name a file that `backup` has written.',
  },
  'restore.newer': {
    command: 'restore',
    exit: 2,
    says: '{file} was made by a newer version of this program.',
    mend: 'Restore it with that version.',
  },
  'restore.key': {
    command: 'restore',
    exit: 2,
    says: '{file} is encrypted with a key that {source} doesn’t hold. Nothing has changed.',
    mend: 'Add the key with the fingerprint {fingerprints}: to BROKER_SECRETS after a comma, to secret.key on a line of its own. Without it no token in this backup opens.',
  },

  'import.done': {
    command: 'connection import',
    exit: 0,
    says: 'Imported {imported}; {already} were connected already.',
    mend: 'Delete the file: its refresh tokens are the broker’s now, and using them elsewhere would end them.',
  },
  'import.partly': {
    command: 'connection import',
    exit: 1,
    says: 'Imported {imported}; {already} were connected already; {failed} were not imported, for the reasons told.',
    mend: 'Mend these lines and run it again with the whole file: what was imported stays as it is. Users whose token was refused connect by themselves.',
  },
  'import.client': {
    command: 'connection import',
    exit: 1,
    says: 'Ellipsis Drive refuses this broker’s own client, after {imported} imported and {already} connected already.',
    mend: 'Check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET: they are those that the refresh tokens were issued to. Then run it again.',
  },
  'import.unreadable': {
    command: 'connection import',
    exit: 2,
    says: '{file} can’t be read: {reason}.',
    mend: 'Name a file of JSON lines: {"account": …, "refresh_token": …, "app": …}.',
  },

  'doctor.well': {
    command: 'doctor',
    exit: 0,
    says: 'Nothing is wrong in {checks} checks; {warnings} are worth a look.',
    mend: '',
  },
  'doctor.problems': {
    command: 'doctor',
    exit: 1,
    says: 'Problems: {problems}; warnings: {warnings}.',
    mend: 'Do what is told with each, from the top, and run `doctor` again.',
  },

  'probe.done': {
    command: 'probe',
    exit: 0,
    says: 'The settings that follow: {settings}',
    mend: 'Put them into .env, or run it with --write, and restart the brokers.',
  },
  'probe.written': {
    command: 'probe',
    exit: 0,
    says: 'Written into .env: {settings}',
    mend: 'Restart the brokers.',
  },
  'probe.unread': {
    command: 'probe',
    exit: 1,
    says: 'Ellipsis Drive answers the same whatever is sent: neither forms nor JSON are read, or the client is not known.',
    mend: 'Check ELLIPSIS_API_URL, ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET.',
  },
  'probe.untold': {
    command: 'probe',
    exit: 1,
    says: 'How Ellipsis Drive likes to be asked could not be told: it asks for fewer calls, fails, or answers differently each time.',
    mend: 'Run it again later.',
  },
  'probe.failed': {
    command: 'probe',
    exit: 1,
    says: 'Ellipsis Drive could not be asked at {url}: {reason}.',
    mend: 'Check ELLIPSIS_API_URL, and whether this machine may call out; then run it again.',
  },
  'probe.unwritten': {
    command: 'probe',
    exit: 1,
    says: '.env could not be written: {reason}. It is as it was. The settings that follow: {settings}',
    mend: 'Put them into .env yourself, and restart the brokers.',
  },
  'probe.cut-off': {
    command: 'probe',
    exit: 1,
    says: 'The browser has no way back: nothing can be pasted without a terminal, and probe can’t take the callback itself ({reason}).',
    mend: 'Run it at a terminal, or stop the broker for as long as it takes; or leave that part out, with --no-authorize.',
  },
  'probe.no-code': {
    command: 'probe',
    exit: 1,
    says: 'The browser did not come back with a code, or Ellipsis Drive gave no token for it.',
    mend: 'Run it again: allow, and paste the whole address within a minute. The callback has to be registered at Ellipsis Drive as it is.',
  },
} satisfies Record<string, Message>

export type MessageName = keyof typeof messages
export type Values = Record<string, string | number>

/** A message with its mend, as it is printed. */
export function message(name: MessageName, values: Values = {}): string {
  const { says, mend } = messages[name]
  const text = mend === '' ? says : `${says}\n${mend}`
  return text.replace(/\{([a-z]+)\}/g, (_all, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`message ${name} needs ${key}`)
    return typeof value === 'number' ? value.toLocaleString('en') : value
  })
}

/** How a command ends that didn't do what it was asked to. */
export class CommandError extends Error {
  override name = 'Ended'
  readonly code: MessageName
  readonly exitCode: number

  constructor(code: MessageName, values: Values = {}) {
    super(message(code, values))
    this.code = code
    this.exitCode = messages[code].exit
  }
}
