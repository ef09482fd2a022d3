import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Store } from '../db/store.ts'
import type { Config } from './config.ts'
import type { Random } from './domain/clock.ts'
import { Secret } from './secret.ts'
import { StartError } from './start-error.ts'

/** The file that holds the encryption keys where BROKER_SECRETS doesn't. */
const FILE = 'secret.key'

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
  const file = join(dataDir, FILE)
  if (!existsSync(file)) {
    const meta = await store.getMeta()
    if (meta.secret_fingerprints !== undefined) {
      throw new StartError(
        `The data in ${dataDir} is encrypted, and its key is missing.\n` +
          `Put the file ${FILE} back there, or set BROKER_SECRETS to the key that was used. ` +
          'A new key would not open it: without the old one every user has to connect again.',
      )
    }
    const key = random(32).toString('base64url')
    writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx', flush: true })
  }
  return () => readKeys(file)
}

function readKeys(file: string): Secret[] {
  const keys = readFileSync(file, 'utf8')
    .split(/[\s,]+/)
    .filter((text) => text !== '')
  if (keys.length === 0 || keys.some((key) => Buffer.from(key, 'base64url').length !== 32)) {
    throw new StartError(
      `${file} holds no key of 32 bytes in base64url. Put back the file that was there.`,
    )
  }
  return keys.map((key) => new Secret(key))
}
