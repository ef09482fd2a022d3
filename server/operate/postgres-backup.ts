import { existsSync } from 'node:fs'
import { keyIdOf } from '../crypto/vault.ts'
import type { Config } from '../config/config.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { readKeys, secretKeyFile } from '../data/secret-key.ts'
import { CommandError } from './messages.ts'

/**
 * With PostgreSQL, says which command makes the backup, and whether this host has the keys to open it.
 * @throws CommandError, StartError if the database can’t be reached; nothing on SQLite
 */
export async function refuseBackup(
  { database, dataDir, secrets }: Pick<Config, 'database' | 'dataDir' | 'secrets'>,
  file: string,
): Promise<void> {
  if (!database) return
  const { inspectServer } = await import('../data/inspect-server.ts')
  const { meta } = await inspectServer(database)
  const source = secrets ? 'BROKER_SECRETS' : secretKeyFile(dataDir)
  const keys = secrets ?? (existsSync(source) ? readKeys(source) : [])
  const missing = fingerprintsOf(meta).filter((id) => !keys.map(keyIdOf).includes(id))
  const advice =
    missing.length === 0
      ? `Keep a copy of ${source} elsewhere: without it, nobody can open the backup.`
      : `${source} lacks the key ${missing.join(' and ')}: nobody can open the backup without it.`
  throw new CommandError('backup.use-pg-dump', {
    file,
    url: withoutPassword(database),
    keys: advice,
  })
}

/** The same for `restore`. @throws CommandError */
export function refuseRestore({ database }: Pick<Config, 'database'>, file: string): void {
  if (!database) return
  throw new CommandError('restore.use-pg-restore', { file, url: withoutPassword(database) })
}

/** For a command line: the password would be in the list of processes. */
function withoutPassword({ urls, address }: NonNullable<Config['database']>): string {
  const [, user = ''] = /^[^/]*\/\/([^/@:]*)[^/]*@/.exec(urls[0]?.reveal() ?? '') ?? []
  const name = address.slice(address.lastIndexOf('/') + 1)
  const host = address.slice(0, address.lastIndexOf('/'))
  const at = user === '' ? '' : `${user}@`
  return host.startsWith('/')
    ? `postgres://${at}/${name}?host=${host}`
    : `postgres://${at}${address}`
}
