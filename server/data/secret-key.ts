import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '../../db/data-directory/files.ts'
import type { Store } from '../../db/store.ts'
import type { Config } from '../config/config.ts'
import type { Random } from '../runtime.ts'
import { message } from '../operate/messages.ts'
import { Secret } from '../secret.ts'
import { StartError } from './start-error.ts'

/** The file that holds the encryption keys where BROKER_SECRETS doesn't. */
export const secretKeyFile = (dataDir: string): string => join(dataDir, 'secret.key')

/**
 * A reader of the encryption keys: BROKER_SECRETS, or the data directory's `secret.key`, which is made
 * for new data only. Call it under the start lock.
 * @throws StartError if there is sealed data, but no key for it
 */
export async function loadSecretKeys(
  config: Pick<Config, 'secrets' | 'dataDir'>,
  store: Store,
  random: Random,
): Promise<() => Secret[]> {
  const { secrets, dataDir } = config
  if (secrets) return () => secrets
  const file = secretKeyFile(dataDir)
  if (!existsSync(file)) {
    const meta = await store.getMeta()
    if (meta.secret_fingerprints !== undefined) {
      throw new StartError(message('start.key-missing', { directory: dataDir }))
    }
    writeKeys(file, [newKey(random)])
  }
  return () => readKeys(file)
}

export const newKey = (random: Random): Secret => new Secret(random(32).toString('base64url'))

/** The keys of a file, the one that seals first. @throws StartError */
export function readKeys(file: string): Secret[] {
  const keys = readFileSync(file, 'utf8')
    .split(/[\s,]+/)
    .filter((text) => text !== '')
  if (keys.length === 0 || keys.some((key) => Buffer.from(key, 'base64url').length !== 32)) {
    throw new StartError(message('start.key-unreadable', { file }))
  }
  return keys.map((key) => new Secret(key))
}

/** Puts keys in the file's place, a line each. A crash leaves the old ones or the new ones. */
export function writeKeys(file: string, keys: Secret[]): void {
  const lines = keys.map((key) => `${key.reveal()}\n`).join('')
  replaceFile(file, lines)
}
