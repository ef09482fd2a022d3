import type { AssociatedData } from '../../db/associated-data.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'

/** Opens the value of a cookie; `undefined`: it was not sealed here for that purpose. */
export function openText(
  vault: Vault,
  associatedData: AssociatedData,
  value: Secret,
): string | undefined {
  const sealed = Buffer.from(value.reveal(), 'base64url')
  // A stranger chooses the key id. An unknown one must not load the keys again.
  if (!vault.keyIds().includes(vault.keyOf(sealed) ?? '')) return undefined
  try {
    return vault.open(associatedData, sealed).reveal()
  } catch {
    return undefined
  }
}
