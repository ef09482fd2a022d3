import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '../../db/data-directory/files.ts'
import type { Store } from '../../db/store.ts'
import type { Config } from '../config/config.ts'
import type { Random } from '../runtime.ts'
import { Secret } from '../secret.ts'
import { decodeText } from '../text-encoding.ts'
import { startError } from './start-error.ts'

/** The file with the encryption keys, if BROKER_SECRETS is not set. */
export const secretKeyFile = (dataDir: string): string => join(dataDir, 'secret.key')

/**
 * Returns a reader of the encryption keys, from BROKER_SECRETS or `secret.key` in the data directory.
 * Creates `secret.key` for new data only. Call it under the start lock.
 * @throws StartError if there is sealed data but no key
 */
export async function loadSecretKeys(
  config: Pick<Config, 'secrets' | 'dataDir' | 'database'>,
  store: Store,
  random: Random,
): Promise<() => Secret[]> {
  const { secrets, dataDir, database } = config
  if (secrets) return () => secrets
  const file = secretKeyFile(dataDir)
  if (!existsSync(file)) {
    const meta = await store.getMeta()
    if (meta.secret_fingerprints !== undefined) {
      const name = database ? 'start.key-elsewhere' : 'start.key-missing'
      const address = database?.address ?? ''
      throw startError(name, { directory: dataDir, address })
    }
    writeKeys(file, [newKey(random)])
  }
  return keyFileReader(file)
}

/** A reader of the file that reads it again only if it was changed or replaced. @throws StartError */
function keyFileReader(file: string): () => Secret[] {
  let [readVersion, keys]: [string, Secret[]] = ['', []]
  return () => {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    const version = [ino, size, mtimeNs, ctimeNs].join()
    // The version is that before the read: a change in between is read next time.
    if (version !== readVersion) [keys, readVersion] = [readKeys(file), version]
    return keys
  }
}

export const newKey = (random: Random): Secret => new Secret(random(32).toString('base64url'))

/** Reads the keys of a file; the first one seals. @throws StartError */
export function readKeys(file: string): Secret[] {
  const keys = readText(file)
    .split(/[\s,]+/)
    .filter((text) => text !== '')
    // Also reads the base64 of other programs, and ignores quotation marks.
    .map((text) => Buffer.from(text, 'base64url'))
  if (keys.length === 0 || keys.some((key) => key.length !== 32)) {
    throw startError('start.key-invalid', { file })
  }
  return keys.map((key) => new Secret(key.toString('base64url')))
}

function readText(file: string): string {
  const bytes = readFileSync(file)
  try {
    return decodeText(bytes)
  } catch (cause) {
    throw startError('start.key-invalid', { file }, cause)
  }
}

/** Replaces the file by these keys, one per line. After a crash it holds the old or the new keys. */
export function writeKeys(file: string, keys: Secret[]): void {
  const lines = keys.map((key) => `${key.reveal()}\n`).join('')
  replaceFile(file, lines)
}
