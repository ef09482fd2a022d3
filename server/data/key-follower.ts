import type { Presence } from '../../db/data-directory/presence.ts'
import type { Store } from '../../db/store.ts'
import type { Log } from '../log.ts'
import type { Vault } from '../crypto/vault.ts'
import { fingerprintsOf } from './data-ownership.ts'

/**
 * Takes up changes of the encryption keys, and tells the other processes once nothing is under way any more
 * that was sealed before: writes are made in their order, so that one more commit shows it. Keys that don't
 * open what is stored are not taken up, and the log says so.
 */
export function createKeyFollower(needs: {
  store: Store
  vault: Vault
  presence: Presence
  log: Log
}): () => Promise<void> {
  const { store, vault, presence, log } = needs
  let told = vault.keyIds().join()
  let refused = 0
  return async () => {
    const known = fingerprintsOf(await store.getMeta())
    if (!vault.reload(known)) {
      // In a rotation the file may change between the one look and the other.
      if (++refused === 2) log.error({ known }, NOT_OURS)
      return
    }
    refused = 0
    const keyIds = vault.keyIds()
    if (keyIds.join() === told) return
    await store.checkWritable()
    presence.setKeyIds(keyIds)
    told = keyIds.join()
  }
}

const NOT_OURS =
  'secret.key holds other keys than those that the data is sealed with, and is not taken up: put back the file with these'
