import type { Presence } from '../db/presence.ts'
import type { Store } from '../db/store.ts'
import type { Vault } from './domain/vault.ts'

/**
 * Takes up changes of the encryption keys, and tells the other processes once nothing is under way any more
 * that was sealed before: writes are made in their order, so that one more commit shows it.
 */
export function createKeyFollower(needs: {
  store: Store
  vault: Vault
  presence: Presence
}): () => Promise<void> {
  const { store, vault, presence } = needs
  let told = vault.keyIds().join()
  return async () => {
    const keyIds = vault.reload()
    if (keyIds.join() === told) return
    await store.checkWritable()
    presence.tell(keyIds)
    told = keyIds.join()
  }
}
