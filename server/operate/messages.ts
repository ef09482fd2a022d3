/**
 * Every message that an operator's command can end with: what happened, and how to fix it.
 * docs/operate.md lists them from here. `{…}` is replaced by a value.
 */
interface Message {
  /** The command that ends with it; `start`: every command that opens the data directory. */
  command: string
  /** Exit code: 0 done, 1 failed, 2 wrong usage or configuration. */
  exit: 0 | 1 | 2
  text: string
  /** What to do; empty: nothing. */
  fix: string
}

export const messages = {
  'start.key-missing': {
    command: 'start',
    exit: 2,
    text: 'The data in {directory} is encrypted, and its key is missing.',
    fix: 'Restore the file secret.key in that directory, or set BROKER_SECRETS to the key that was used. A new key cannot open the data. If the key is lost, start with an empty BROKER_DATA_DIR: every user must connect again.',
  },
  'start.key-elsewhere': {
    command: 'start',
    exit: 2,
    text: 'The data in the database {address} is encrypted, and its key is missing on this host: {directory} has no secret.key.',
    fix: 'Copy secret.key from another host of this broker into that directory, or set BROKER_SECRETS to the same keys on every host. A new key cannot open the data.',
  },
  'start.key-invalid': {
    command: 'start',
    exit: 2,
    text: '{file} does not contain a key of 32 bytes in base64url.',
    fix: 'Restore the original file.',
  },
  'start.key-mismatch': {
    command: 'start',
    exit: 2,
    text: 'The data in {directory} is encrypted with a key that is missing from {source}.',
    fix: 'Add the key with the fingerprint {fingerprints} to BROKER_SECRETS after a comma, or to secret.key on its own line. Keep it there until `secret rotate` has succeeded.',
  },
  'start.client-changed': {
    command: 'start',
    exit: 2,
    text: 'The connections in this data directory belong to {name}={before}, but the setting is now {now}.',
    fix: 'Ellipsis Drive would reject their refresh tokens. Change the setting back, or use another BROKER_DATA_DIR. If the change is intended, start once with `serve --accept-client-change`: every user must then connect again.',
  },
  'start.client-in-use': {
    command: 'start',
    exit: 2,
    text: 'The OAuth client or API can’t change while these processes use the previous one: {processes}.',
    fix: 'Stop them, then run the command again.',
  },
  'start.client-change-interrupted': {
    command: 'start',
    exit: 2,
    text: 'A change of the OAuth client or API by `serve --accept-client-change` was interrupted.',
    fix: 'Start once more with `serve --accept-client-change` to complete it.',
  },
  'start.database-gone': {
    command: 'start',
    exit: 2,
    text: 'The database in {directory} is gone, but these processes still have it open: {processes}.',
    fix: 'Stop them: what they write now is lost. Put the database back, or restore the latest backup, then start.',
  },
  'start.newer': {
    command: 'start',
    exit: 2,
    text: '{file} was written by a newer version of this program; this version cannot work on it.',
    fix: 'Use the newer version, or stop every broker and restore the copy that it made before the upgrade (broker.db.before-upgrade-DATE).',
  },
  'start.upgraded': {
    command: 'start',
    exit: 0,
    text: 'Upgraded the database in {directory} ({migrations}). A copy of it as it was is kept: {copy}.',
    fix: '',
  },
  'start.upgraded-database': {
    command: 'start',
    exit: 0,
    text: 'Upgraded the tables in the database {address} ({migrations}). No copy was made.',
    fix: '',
  },
  'start.older-in-use': {
    command: 'start',
    exit: 2,
    text: 'This version has to change the database in {directory} ({migrations}), and these processes of an older version still use it: {processes}. Nothing has changed.',
    fix: 'Stop them, then start again. The older version cannot work on the changed database.',
  },
  'start.disk-full': {
    command: 'start',
    exit: 2,
    text: 'There is no space left on the disk of {directory}.',
    fix: 'Free more space than broker.db takes, then run the command again. The stored data is intact.',
  },
  'start.no-access': {
    command: 'start',
    exit: 2,
    text: 'The data directory {directory} can’t be read and written.',
    fix: 'Run the command as root or as the broker’s user. That user must own the directory and everything in it, on a writable file system. Or set BROKER_DATA_DIR to another directory.',
  },
  'start.foreign-file': {
    command: 'start',
    exit: 2,
    text: '{file} belongs to user {user}, and the data directory to user {owner}, who can’t read and write it.',
    fix: 'As root: chown -R {owner}: {directory}. Then run the command again.',
  },
  'start.no-drop': {
    command: 'start',
    exit: 2,
    text: 'The data directory {directory} belongs to user {user}, and root can’t take that user’s rights, with which commands of root work there.',
    fix: 'Run the command as that user, or allow the capabilities SETUID and SETGID (in a container: `--cap-add`).',
  },
  'start.directory-shared': {
    command: 'start',
    exit: 2,
    text: 'The data directory {directory} is for one user only, and other users can write in {shared} (its mode is {mode}). They could make commands of root write elsewhere.',
    fix: 'Check what is in it, then run: chmod go-w {command}. Or set BROKER_DATA_DIR to a directory of the broker’s user.',
  },
  'start.owner-unreachable': {
    command: 'start',
    exit: 2,
    text: 'The data directory {directory} belongs to user {user}. Commands of root work there with that user’s rights, and that user can’t reach it.',
    fix: 'Let that user pass every directory above it. systemd closes /var/lib/private, where a unit with DynamicUser=yes has its data: replace the unit by the one of this version, which has a static user.',
  },
  'start.program-unreadable': {
    command: 'start',
    exit: 2,
    text: 'The data directory {directory} belongs to user {user}. Commands of root work there with that user’s rights, and that user can’t read this program.',
    fix: 'Install the program where every user can read it, such as /usr/local/bin or /opt.',
  },
  'start.damaged': {
    command: 'start',
    exit: 2,
    text: 'The database in {directory} is damaged, or is not a database.',
    fix: 'Stop all brokers, keep the directory as it is, check the disk, and restore the latest good backup.',
  },
  'start.database-unreachable': {
    command: 'start',
    exit: 2,
    text: 'The database {address} can’t be reached: {problem}.',
    fix: 'Check host, port and sslmode in BROKER_DATABASE_URL, and that the server runs and listens for this host (listen_addresses, firewall).',
  },
  'start.database-silent': {
    command: 'start',
    exit: 2,
    text: 'The server of the database {address} does not answer.',
    fix: 'Check host and port in BROKER_DATABASE_URL, and the firewall between this host and the server. If the server accepts connections and answers none, it hangs or has too much to do: its log and the load of its machine say more.',
  },
  'start.database-lost': {
    command: 'start',
    exit: 2,
    text: 'The connection to the database {address} broke: {problem}.',
    fix: 'Run the command again. If it breaks again, the log of the server says why, unless the network does it.',
  },
  'start.database-error': {
    command: 'start',
    exit: 2,
    text: 'The database {address} answered with an error: {problem} (SQLSTATE {code}).',
    fix: 'The log of the server says more. If its disk and tables are intact, this is a fault of the broker: report it.',
  },
  'start.database-refused': {
    command: 'start',
    exit: 2,
    text: 'The database {address} refuses the broker’s user: {problem}.',
    fix: 'Check user and password in BROKER_DATABASE_URL, or the password in PGPASSWORD, and that pg_hba.conf admits this host.',
  },
  'start.database-missing': {
    command: 'start',
    exit: 2,
    text: 'The server of {address} has no such database: {problem}.',
    fix: 'Check the name at the end of BROKER_DATABASE_URL, or create it: CREATE DATABASE … OWNER ….',
  },
  'start.database-full': {
    command: 'start',
    exit: 2,
    text: 'The server of the database {address} has no connection to spare: {problem}.',
    fix: 'Raise max_connections in its postgresql.conf, and restart it. Each process of the broker opens at most 14 connections; `select * from pg_stat_activity` shows what others use.',
  },
  'start.database-resources': {
    command: 'start',
    exit: 2,
    text: 'The server of the database {address} has no space or memory left: {problem}.',
    fix: 'Free space on its disk, or give it more memory. The stored data is intact.',
  },
  'start.database-tables': {
    command: 'start',
    exit: 2,
    text: 'The broker’s tables in the database {address} can’t be used: {problem}.',
    fix: 'The broker’s user must own all of them (ALTER TABLE … OWNER TO …). If some are missing, stop every broker and restore a backup (pg_restore).',
  },
  'start.database-extension': {
    command: 'start',
    exit: 2,
    text: 'The database {address} lacks something that the broker needs: {problem}.',
    fix: 'If it is the extension pg_trgm: install PostgreSQL’s contrib modules on the server (for example postgresql-contrib), then start again.',
  },
  'start.database-untrusted': {
    command: 'start',
    exit: 2,
    text: 'The certificate of the database {address} is not trusted: {problem}.',
    fix: 'Set sslrootcert in BROKER_DATABASE_URL to the file of the CA that issued it, and name the host as the certificate names it. With sslmode=require any server would be trusted.',
  },
  'start.database-no-tls': {
    command: 'start',
    exit: 2,
    text: 'The server of the database {address} offers no TLS, and the sslmode in BROKER_DATABASE_URL requires it.',
    fix: 'Set ssl = on, ssl_cert_file and ssl_key_file in its postgresql.conf. sslmode=disable is for a server on this machine.',
  },
  'start.database-ca-unreadable': {
    command: 'start',
    exit: 2,
    text: 'A file that BROKER_DATABASE_URL names for TLS can’t be read: {problem}.',
    fix: 'Set sslrootcert to the PEM file of the CA, which the broker’s user can read.',
  },
  'start.database-read-only': {
    command: 'start',
    exit: 2,
    text: 'The database {address} takes no writes: its server is a standby, or transactions of this user are read-only.',
    fix: 'Name every server in BROKER_DATABASE_URL, as HOST-1,HOST-2: the broker uses the first that takes writes. Or promote the standby. If it is the primary, default_transaction_read_only is on; some services set it when the disk is full.',
  },
  'start.database-old': {
    command: 'start',
    exit: 2,
    text: 'The server of the database {address} is PostgreSQL {version}, and the broker needs 14 or later.',
    fix: 'Upgrade the server, or use another one.',
  },
  'start.database-pooler': {
    command: 'start',
    exit: 2,
    text: 'A pooler, such as PgBouncer, is between the broker and the database {address}.',
    fix: 'Name the server itself in BROKER_DATABASE_URL. The broker pools its connections, and its locks need sessions of their own.',
  },
  'start.database-asynchronous': {
    command: 'start',
    exit: 2,
    text: 'The database {address} has synchronous_commit=off: a crash of its server would lose refresh tokens that Ellipsis Drive has replaced already.',
    fix: 'As a superuser: ALTER ROLE "{user}" SET synchronous_commit = on. Then start again.',
  },
  'start.database-rights': {
    command: 'start',
    exit: 2,
    text: 'The user {user} may not create tables, or the extension pg_trgm, in the database {address}.',
    fix: 'As the owner of the database: GRANT USAGE, CREATE ON SCHEMA {schema} TO "{user}"; CREATE EXTENSION IF NOT EXISTS pg_trgm. Then start again.',
  },
  'data.database-empty': {
    command: 'start',
    exit: 2,
    text: 'The database {address} has no data of a broker.',
    fix: 'Check BROKER_DATABASE_URL. A first start of `serve` creates the tables, as does the first `app add` or `admin add`.',
  },
  'data.missing': {
    command: 'start',
    exit: 2,
    text: 'There is no database in {directory}.',
    fix: 'Settings were read from {settings}. Name the settings file of the broker, `ellipsis-broker --env-file FILE COMMAND`, or set BROKER_DATA_DIR to the directory that `serve` uses. A first start of `serve` creates the database, as does the first `app add` or `admin add` if BROKER_DATA_DIR is set.',
  },
  'data.not-started': {
    command: 'start',
    exit: 2,
    text: 'The installed service has no database in {directory}.',
    fix: 'Settings were read from {settings}. The first start of the service creates the database: `systemctl start ellipsis-broker`. If the service has started before, check that the disk of this directory is mounted. If this is a new machine for existing data, `restore` a backup before the first start.',
  },
  'data.elsewhere': {
    command: 'start',
    exit: 2,
    text: '{directory} has no database of a broker.',
    fix: 'Settings were read from {settings}. The installed service has its store in {others}: to work on that, run `ellipsis-broker --env-file FILE COMMAND` with that file.',
  },
  'start.locked': {
    command: 'start',
    exit: 2,
    text: 'Another process has locked the data in {directory}.',
    fix: 'Wait until it is done, then run the command again. The first start of a newer version may have much data to migrate. If it never ends, `doctor` says how to find that process.',
  },
  'start.moved': {
    command: 'start',
    exit: 2,
    text: 'The store in {place} was copied to {to} at {at}, and is served from there.',
    fix: 'Set BROKER_DATABASE_URL or BROKER_DATA_DIR to that store. To go back with all that has changed since, stop all brokers and copy it back with `store copy`. To serve this one as it was then, run `store take-back`.',
  },
  'start.copy-unfinished': {
    command: 'start',
    exit: 2,
    text: 'The store in {place} is an unfinished copy of another one.',
    fix: 'Run the same `store copy` again: it continues. Until it is done, the other store can be served.',
  },
  'start.copy-failed': {
    command: 'start',
    exit: 2,
    text: 'The copy {file}, which is made before the database is changed, could not be written.',
    fix: 'Free as much space as broker.db takes, then start again. Nothing has changed.',
  },

  'serve.port-in-use': {
    command: 'serve',
    exit: 2,
    text: 'Port {port} of {host} is already in use.',
    fix: 'A broker may already be running (`ss -ltnp` shows the process). Stop it, or choose another port: with BROKER_PORT; for `demo` and `stand-in`, with --port.',
  },
  'serve.address-unavailable': {
    command: 'serve',
    exit: 2,
    text: 'Can’t listen on port {port} of {host}.',
    fix: 'Set BROKER_HOST to an address of this machine, such as 127.0.0.1, and BROKER_PORT to a port above 1023: lower ports need the capability NET_BIND_SERVICE. Root loses it if another user owns the data directory.',
  },
  'webhook.test.failed': {
    command: 'webhook test',
    exit: 1,
    text: 'The endpoint did not accept the test event: {reason}.',
    fix: 'It has to answer with a 2xx status within 15 seconds, without a redirect. An address in a private network needs BROKER_WEBHOOK_ALLOW.',
  },
  'serve.on-event-unusable': {
    command: 'serve',
    exit: 2,
    text: 'BROKER_ON_EVENT can’t be run: {program} {problem}.',
    fix: 'Set it to the path of an executable file that the broker’s user can run (chmod +x), or unset it.',
  },
  'serve.cache-unusable': {
    command: 'serve',
    exit: 2,
    text: 'BROKER_CACHE_DIR can’t be used: {problem}.',
    fix: 'Set it to an empty directory that the broker’s user can write to, or unset it.',
  },

  'secret.check.ok': {
    command: 'secret check',
    exit: 0,
    text: 'All {values} sealed values can be opened: {keys}.',
    fix: '',
  },
  'secret.check.failed': {
    command: 'secret check',
    exit: 1,
    text: '{failed} of {values} sealed values can’t be opened: {places}.',
    fix: 'If a key is missing, add it: to BROKER_SECRETS after a comma, or to secret.key on its own line. A value that was altered can’t be recovered: restore a backup, or let that user connect again.',
  },
  'secret.rotate.done': {
    command: 'secret rotate',
    exit: 0,
    text: 'Everything is now sealed with the key {key}; {resealed} values were resealed. The old key was moved from secret.key to {kept}.',
    fix: 'Store a copy of secret.key, and make a new backup: older backups open only with the old key. Move the file with the old key to where you keep copies of keys, and delete it once you keep no older backup.',
  },
  'secret.rotate.done-variable': {
    command: 'secret rotate',
    exit: 0,
    text: 'Everything is now sealed with the first key of BROKER_SECRETS, {key}; {resealed} values were resealed.',
    fix: 'Remove the other keys ({others}) from BROKER_SECRETS and restart every broker. Make a new backup: older backups open only with the old key.',
  },
  'secret.rotate.nothing': {
    command: 'secret rotate',
    exit: 0,
    text: 'Nothing to do: everything is sealed with the first key of BROKER_SECRETS, {key}.',
    fix: "To change the key: 1. Make a key: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='. 2. Set BROKER_SECRETS=OLD,NEW for every broker, and restart them. 3. Set BROKER_SECRETS=NEW,OLD, and restart them. 4. Run `secret rotate`. 5. Set BROKER_SECRETS=NEW, and restart them.",
  },
  'secret.rotate.format': {
    command: 'secret rotate',
    exit: 0,
    text: 'Everything is sealed with the first key of BROKER_SECRETS, {key}; {resealed} values of an older format were resealed.',
    fix: 'The key is the same as before. Run the command once more for the steps that change it.',
  },
  'secret.rotate.locked': {
    command: 'secret rotate',
    exit: 1,
    text: 'Another `secret rotate` is running on this data directory.',
    fix: 'Wait until it is done. If it was killed, run the command again.',
  },
  'secret.rotate.waiting': {
    command: 'secret rotate',
    exit: 1,
    text: 'These processes don’t use the new key yet: {processes}. Nothing is lost, and the old key is still in place.',
    fix: 'A running broker loads a changed secret.key within seconds; a changed BROKER_SECRETS needs a restart. Restart or stop these processes, then run `secret rotate` again.',
  },
  'secret.rotate.failed': {
    command: 'secret rotate',
    exit: 1,
    text: '{failed} values can’t be opened: {places}. All others were resealed; the old key is still in place.',
    fix: 'Add the missing key and run `secret rotate` again; `secret check` lists all of these values. If the key is lost, run `connection revoke` for each connection whose values can’t be opened; its user must connect again.',
  },
  'key.rotate.done': {
    command: 'key rotate',
    exit: 0,
    text: 'Key {kid} signs {use} from now on; it has been published since {since}. The previous key stays published until the last token it signed has expired.',
    fix: '',
  },
  'key.rotate.recent': {
    command: 'key rotate',
    exit: 0,
    text: 'Key {kid} signs {use} from now on, but it has been published only since {since}.',
    fix: 'Programs that verify these tokens themselves, and cache the keys for longer than that, reject new tokens until they reload /.well-known/jwks.json.',
  },
  'key.revoke.done': {
    command: 'key revoke',
    exit: 0,
    text: 'Revoked the key {kid}. Every process now rejects the broker tokens it signed; their users must connect again.',
    fix: '',
  },
  'key.revoke.unknown': {
    command: 'key revoke',
    exit: 2,
    text: 'There is no key {kid}, or it is already revoked.',
    fix: '`key list` shows all keys.',
  },

  'backup.done': {
    command: 'backup',
    exit: 0,
    text: 'Backed up {connections} connections to {file} ({megabytes} MB), as of {at}.',
    fix: 'The backup opens only with the encryption keys {keys}, and does not contain them: keep a copy of {directory}/secret.key, or of BROKER_SECRETS, in another place than the backups. Anything revoked from now on is still in this file: delete backups that you no longer need.',
  },
  'backup.rotated': {
    command: 'backup',
    exit: 0,
    text: 'Backups kept in {directory}: {kept}. Deleted: {deleted}.',
    fix: '',
  },
  'backup.use-pg-dump': {
    command: 'backup',
    exit: 2,
    text: 'A PostgreSQL database is backed up with its own tools; {file} was not written.',
    fix: 'Run: pg_dump --format=custom --file={file} --dbname="{url}" (the password: PGPASSWORD or ~/.pgpass). {keys}',
  },
  'backup.exists': {
    command: 'backup',
    exit: 2,
    text: '{file} already exists; a backup never overwrites a file.',
    fix: 'Choose another name, for example one with the date.',
  },
  'backup.is-directory': {
    command: 'backup',
    exit: 2,
    text: '{file} is a directory.',
    fix: 'Name a new file in it, or keep dated backups there: `backup --keep 7 DIRECTORY`.',
  },
  'backup.no-directory': {
    command: 'backup',
    exit: 2,
    text: 'There is no directory {directory}.',
    fix: 'Create it, or choose another.',
  },
  'backup.not-directory': {
    command: 'backup',
    exit: 2,
    text: '{file} is not a directory.',
    fix: 'With --keep, name the directory that holds the backups; each gets its date as a name.',
  },
  'backup.running': {
    command: 'backup',
    exit: 1,
    text: 'Another `backup --keep` is writing to {directory}.',
    fix: 'Wait until it is done.',
  },
  'backup.not-deleted': {
    command: 'backup',
    exit: 1,
    text: 'The backup {file} is complete, but the older one {old} could not be deleted: {reason}.',
    fix: 'Make the user who runs the backup the owner of the directory, or delete the file yourself.',
  },
  'backup.damaged': {
    command: 'backup',
    exit: 1,
    text: 'The database is damaged: {problem}. Its copy was deleted.',
    fix: 'Keep the data directory as it is, check the disk, and restore the latest good backup.',
  },
  'backup.failed': {
    command: 'backup',
    exit: 1,
    text: '{file} could not be written: {reason}. No partial backup is left.',
    fix: 'Choose another place, then run the command again.',
  },
  'backup.disk-full': {
    command: 'backup',
    exit: 1,
    text: 'There is no space left for {file} ({reason}). No partial backup is left.',
    fix: 'Free as much space there as broker.db takes, or choose another place. Then run the command again.',
  },
  'backup.forbidden': {
    command: 'backup',
    exit: 1,
    text: 'User {user} can’t write {file}: {reason}. No partial backup is left.',
    fix: 'Choose a directory that this user can write in, or make this user its owner (`chown`). Commands of root work with the rights of the user who owns the data directory.',
  },
  'restore.done': {
    command: 'restore',
    exit: 0,
    text: 'Restored {connections} connections as of {at}. Revocations and second factors since then that were carried over: {carried}. The previous store is kept as {replaced}.',
    fix: 'Start the brokers. If Ellipsis Drive has replaced a refresh token since the backup, it rejects the restored one, and that user must connect again; `connection list --status needs_reconnect` lists them. Delete the previous store once everything works: it contains tokens.',
  },
  'restore.done-new': {
    command: 'restore',
    exit: 0,
    text: 'Restored {connections} connections as of {at} into {directory}, where there was no store.',
    fix: 'What was revoked since then works again: before you start the brokers, revoke once more what you know of (connections, devices, apps, admins, signing keys). Admins have the passwords, roles and second factors of that time. If Ellipsis Drive has replaced a refresh token since the backup, that user must connect again; `connection list --status needs_reconnect` lists them.',
  },
  'restore.done-uncompared': {
    command: 'restore',
    exit: 0,
    text: 'Restored {connections} connections as of {at}, but not everything that was revoked since then is known. Carried over: {carried}. The previous store is kept as {replaced}.',
    fix: 'Before you start the brokers, revoke once more what you know of (connections, devices, apps, admins, signing keys). Admins have the passwords, roles and second factors of that time. If Ellipsis Drive has replaced a refresh token since the backup, that user must connect again.',
  },
  'restore.weakened': {
    command: 'restore',
    exit: 0,
    text: 'These admins had a second factor that could not be kept, and sign in with only a password now: {admins}.',
    fix: 'Ask them to set it up again. If someone else may know a password, run `admin reset-password` first.',
  },
  'restore.completed': {
    command: 'restore',
    exit: 0,
    text: 'The interrupted restore of {file} is now complete.',
    fix: 'Start the brokers.',
  },
  'restore.new-directory': {
    command: 'restore',
    exit: 1,
    text: '{directory} has no store yet, which is normal on a new machine. So nothing here tells what was revoked after the backup {file} was made. Nothing has changed.',
    fix: 'Connections, devices, apps, admins and signing keys that were revoked since {at} may work again, and admins get the passwords and second factors of that time. To restore with that, run the command again with --accept-revoked. If this is not a new machine, check BROKER_DATA_DIR.',
  },
  'restore.incomparable': {
    command: 'restore',
    exit: 1,
    text: 'It is unknown what was revoked since {file} was made: the store in {directory} is damaged, or did not develop from that backup. Nothing has changed.',
    fix: 'Connections, devices, apps, admins and signing keys that were revoked since {at} may work again, and admins get the passwords and second factors of that time. To restore with that, run the command again with --accept-revoked.',
  },
  'restore.use-pg-restore': {
    command: 'restore',
    exit: 2,
    text: 'A PostgreSQL database is restored with its own tools; nothing has changed.',
    fix: 'Stop every broker, then restore {file} into an empty database: pg_restore --no-owner --exit-on-error --dbname="{url}" {file}. Name it in BROKER_DATABASE_URL. What was revoked since the backup is active again: revoke it once more.',
  },
  'restore.in-use': {
    command: 'restore',
    exit: 1,
    text: 'The data in {directory} is in use by {processes}.',
    fix: 'Stop these processes, then run the command again.',
  },
  'restore.moved': {
    command: 'restore',
    exit: 2,
    text: 'The store in {directory} was copied to {to} at {at}, and is served from there. Nothing has changed.',
    fix: 'A second store would invalidate the refresh tokens of that one. To give that one up, stop all its brokers, run `store take-back`, then this command again. To restore the backup beside it, for a look, set BROKER_DATA_DIR to an empty directory.',
  },
  'restore.no-file': {
    command: 'restore',
    exit: 2,
    text: 'There is no file {file}.',
    fix: 'Name a file written by `backup`.',
  },
  'restore.unreadable': {
    command: 'restore',
    exit: 2,
    text: 'This user can’t read {file} ({reason}).',
    fix: 'Give it to the broker’s user (`chown`), in a directory that this user can reach. Root works with the rights of that user if that user owns the data directory.',
  },
  'restore.itself': {
    command: 'restore',
    exit: 2,
    text: '{file} is the current store, not a backup.',
    fix: 'Name a file written by `backup`.',
  },
  'restore.damaged': {
    command: 'restore',
    exit: 1,
    text: '{file} is damaged: {problem}. Nothing has changed.',
    fix: 'Use another backup.',
  },
  'restore.not-a-backup': {
    command: 'restore',
    exit: 2,
    text: '{file} is a database, but not from this program.',
    fix: 'Name a file written by `backup`.',
  },
  'restore.newer': {
    command: 'restore',
    exit: 2,
    text: '{file} was made by a newer version of this program.',
    fix: 'Restore it with that version.',
  },
  'restore.key-missing': {
    command: 'restore',
    exit: 2,
    text: '{file} is encrypted with a key that is missing from {source}. Nothing has changed.',
    fix: 'On a new machine, first put the copy of secret.key that you keep into the data directory, or set the same BROKER_SECRETS. Otherwise add the key with the fingerprint {fingerprints} to BROKER_SECRETS after a comma, or to secret.key on its own line. Without it, no token in this backup can be opened.',
  },

  'store.copy.done': {
    command: 'store copy',
    exit: 0,
    text: 'Copied {from} to {to}: {rows} rows now, {hashed} in {tables} tables. Both sides have the same rows, by count and SHA-256 of each table. The former store stays as it was, and is not served any more.',
    fix: 'The copy is encrypted with the same keys ({keys}). Each host that serves it needs them: copy secret.key into its data directory, or set the same BROKER_SECRETS. Then start the brokers on {to}.',
  },
  'store.copy.done-before': {
    command: 'store copy',
    exit: 0,
    text: '{from} was copied to {to} before, completely. Nothing has changed.',
    fix: '',
  },
  'store.copy.in-use': {
    command: 'store copy',
    exit: 1,
    text: 'The store in {place} is in use by {processes}.',
    fix: 'Stop these processes, then run the command again.',
  },
  'store.copy.no-store': {
    command: 'store copy',
    exit: 2,
    text: 'There is no store of a broker in {place}.',
    fix: 'Check the URL after --from, or BROKER_DATA_DIR.',
  },
  'store.copy.not-empty': {
    command: 'store copy',
    exit: 2,
    text: '{to} is not empty, and is no unfinished copy of this store. Nothing has changed.',
    fix: 'Copy into a new database, or a new BROKER_DATA_DIR that no broker was started on.',
  },
  'store.copy.outdated': {
    command: 'store copy',
    exit: 2,
    text: 'The store in {from} was written by an older version of this program.',
    fix: 'Start a broker of this version on it once, which upgrades it. Then stop it, and run the command again.',
  },
  'store.copy.moved': {
    command: 'store copy',
    exit: 2,
    text: 'The store in {from} was copied to {to} at {at}, and is served from there.',
    fix: 'Copy that one. To use this one as it was then, run `store take-back` first.',
  },
  'store.copy.unfinished-source': {
    command: 'store copy',
    exit: 2,
    text: 'The store in {from} is an unfinished copy itself.',
    fix: 'Complete it first: run the `store copy` again that writes it.',
  },
  'store.copy.key-missing': {
    command: 'store copy',
    exit: 2,
    text: 'The store in {from} is encrypted with a key that is missing from {source}.',
    fix: 'Put the copy of secret.key that you keep into the data directory, or set the same BROKER_SECRETS. The key has the fingerprint {fingerprints}. Then run the command again.',
  },
  'store.copy.differs': {
    command: 'store copy',
    exit: 1,
    text: 'The copy of the table {table} differs from the original: {rows} rows, {copied} in the copy. The store is unchanged, and can be served.',
    fix: 'Nothing else may write to the copy. Run the command again: it starts from the beginning.',
  },
  'store.copy.database': {
    command: 'store copy',
    exit: 1,
    text: 'The database {database} can’t be used: {reason}.',
    fix: 'Fix that, then run the command again: it continues where it stopped.',
  },
  'store.take-back.done': {
    command: 'store take-back',
    exit: 0,
    text: 'The store in {place} can be served again, as it was at {at}.',
    fix: 'Stop every broker on {to} first, and don’t serve that store any more. Connections that it has refreshed since may have newer refresh tokens: where Ellipsis Drive refuses the former ones, users must connect again. What was revoked there since is not revoked here.',
  },
  'store.take-back.nothing': {
    command: 'store take-back',
    exit: 0,
    text: 'The store in {place} was not copied elsewhere. Nothing has changed.',
    fix: '',
  },

  'refresh.refused': {
    command: 'connection refresh',
    exit: 1,
    text: 'The user of {connection} must connect again: {reason}.',
    fix: 'Apps that ask for a token of this connection get the URL where the user does that.',
  },
  'refresh.client-refused': {
    command: 'connection refresh',
    exit: 1,
    text: 'Ellipsis Drive rejects this broker’s own client.',
    fix: 'Check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET, and restart the brokers. No user needs to connect again.',
  },

  'import.done': {
    command: 'connection import',
    exit: 0,
    text: 'Imported {imported}; {already} were already connected; {duplicates} were duplicates of other lines.',
    fix: 'Delete the file: the broker now uses its refresh tokens, and using them elsewhere would end the connections.',
  },
  'import.incomplete': {
    command: 'connection import',
    exit: 1,
    text: 'Imported {imported}; {already} were already connected; {duplicates} were duplicates of other lines; {failed} were not imported ({reasons}), each with its reason above.',
    fix: 'Fix these lines and run the command again with the whole file: imported lines stay as they are. Users whose token was rejected must connect themselves.',
  },
  'import.output-lost': {
    command: 'connection import',
    exit: 1,
    text: 'Stopped after line {number}: its result could not be written, so its broker token is lost.',
    fix: 'Run the command again with the whole file, and write the output to a file: lines that are already connected get a new broker token.',
  },
  'import.client-rejected': {
    command: 'connection import',
    exit: 1,
    text: 'Ellipsis Drive rejects this broker’s own client, after {imported} imported and {already} already connected.',
    fix: 'Check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET: the refresh tokens must have been issued to this client. Then run the command again.',
  },
  'import.unreadable': {
    command: 'connection import',
    exit: 2,
    text: '{file} can’t be read: {reason}.',
    fix: 'Name a file of JSON lines: {"account": …, "refresh_token": …, "app": …}.',
  },

  'health.ready': {
    command: 'health',
    exit: 0,
    text: 'The broker at {url} is ready.',
    fix: '',
  },
  'health.not-ready': {
    command: 'health',
    exit: 1,
    text: 'The broker at {url} is not ready: {reason}.',
    fix: 'Its log and `doctor` say more.',
  },
  'health.other-program': {
    command: 'health',
    exit: 1,
    text: '{url} answers with status {status}, but not as a broker does.',
    fix: 'Another program has the port of the broker: `ss -ltnp` shows it. Stop it, or run this command with the broker’s BROKER_HOST and BROKER_PORT.',
  },
  'health.unreachable': {
    command: 'health',
    exit: 1,
    text: 'No broker answers at {url}: {reason}.',
    fix: 'Start it, or run this command with its settings: its `--env-file`, or the same BROKER_HOST and BROKER_PORT.',
  },

  'doctor.ok': {
    command: 'doctor',
    exit: 0,
    text: 'No problems in {checks} checks; warnings: {warnings}.',
    fix: '',
  },
  'doctor.problems': {
    command: 'doctor',
    exit: 1,
    text: 'Problems: {problems}; warnings: {warnings}.',
    fix: 'Fix them from top to bottom, then run `doctor` again.',
  },

  'probe.done': {
    command: 'probe',
    exit: 0,
    text: 'Settings to use: {settings}',
    fix: 'Add them to {file}, or run the command again with --write. Then restart the brokers.',
  },
  'probe.written': {
    command: 'probe',
    exit: 0,
    text: 'Written to {file}: {settings}',
    fix: 'Restart the brokers.',
  },
  'probe.same-answer': {
    command: 'probe',
    exit: 1,
    text: 'Ellipsis Drive answers every request the same way: it reads neither forms nor JSON, or does not know the client.',
    fix: 'Check ELLIPSIS_API_URL, ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET.',
  },
  'probe.inconclusive': {
    command: 'probe',
    exit: 1,
    text: 'The request format of Ellipsis Drive could not be determined: it limits the rate of calls, fails, or answers differently each time.',
    fix: 'Run the command again later.',
  },
  'probe.failed': {
    command: 'probe',
    exit: 1,
    text: 'Ellipsis Drive could not be reached at {url}: {reason}.',
    fix: 'Check ELLIPSIS_API_URL, and that this machine may make outgoing requests. Then run the command again.',
  },
  'probe.write-failed': {
    command: 'probe',
    exit: 1,
    text: '{file} could not be written: {reason}. It is unchanged. Settings to use: {settings}',
    fix: 'Add them to it yourself, then restart the brokers.',
  },
  'probe.no-callback': {
    command: 'probe',
    exit: 1,
    text: 'The browser can’t return to `probe`: there is no terminal to paste the address into, and `probe` can’t listen for the callback itself ({reason}).',
    fix: 'Run the command in a terminal, or stop the broker meanwhile, or skip this part with --no-authorize.',
  },
  'probe.no-code': {
    command: 'probe',
    exit: 1,
    text: 'The browser did not return with a code, or Ellipsis Drive gave no token for it.',
    fix: 'Run the command again, allow access, and paste the whole address within a minute. The callback must be registered at Ellipsis Drive exactly as shown.',
  },
} satisfies Record<string, Message>

export type MessageName = keyof typeof messages
export type MessageValues = Record<string, string | number>

/** A message and its fix, as printed. */
export function formatMessage(name: MessageName, values: MessageValues = {}): string {
  const { text, fix } = messages[name]
  const template = fix === '' ? text : `${text}\n${fix}`
  return template.replace(/\{([a-z]+)\}/g, (_match, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`message ${name} needs ${key}`)
    return typeof value === 'number' ? value.toLocaleString('en') : value
  })
}

/** A command failed in an expected way; the message says what to do. */
export class CommandError extends Error {
  override name = 'CommandError'
  readonly code: MessageName
  readonly exitCode: number

  constructor(code: MessageName, values: MessageValues = {}) {
    super(formatMessage(code, values))
    this.code = code
    this.exitCode = messages[code].exit
  }
}

/** Why a file can't be read or written, in the words of the system or of SQLite. */
export const errorMessage = (error: unknown): string => (error as Error).message
