import type { Presence } from '../../db/coordination.ts'
import type { Store } from '../../db/store.ts'
import type { Log } from '../log.ts'
import type { Vault } from '../crypto/vault.ts'
import { fingerprintsOf } from './data-ownership.ts'

/**
 * Loads changed encryption keys. Announces them to the other processes once every write that was sealed with
 * the previous key is committed: writes commit in order, so one more commit proves it. Rejects keys that
 * don't open the stored data, and logs that.
 */
export function createKeyFollower(dependencies: {
  store: Store
  vault: Vault
  presence: Presence
  log: Log
}): () => Promise<void> {
  const { store, vault, presence, log } = dependencies
  let announced = vault.keyIds().join()
  let rejections = 0
  return async () => {
    if (!vault.hasNewKeys() && vault.keyIds().join() === announced) return
    const fingerprints = fingerprintsOf(await store.getMeta())
    if (!vault.reload(fingerprints)) {
      // During a rotation, the file may change between the two reads: only the second rejection counts.
      if (++rejections === 2) log.error({ known: fingerprints }, KEYS_REJECTED)
      return
    }
    rejections = 0
    const keyIds = vault.keyIds()
    if (keyIds.join() === announced) return
    await store.checkWritable()
    await presence.setKeyIds(keyIds)
    announced = keyIds.join()
  }
}

const KEYS_REJECTED =
  'secret.key was not loaded: it lacks keys that the data is sealed with; restore the file with these keys'
