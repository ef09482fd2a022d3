import type { AssociatedData } from '../../db/associated-data.ts'
import type { Hash } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import { sha256 } from './hash.ts'
import type { Vault } from './vault.ts'

/** Text that browsers and apps keep for the broker: sealed and encoded for a cookie, a form or a URL. */

export function sealText(vault: Vault, associatedData: AssociatedData, text: string): Secret {
  const sealed = vault.seal(associatedData, new Secret(text), { padded: false })
  return new Secret(Buffer.from(sealed).toString('base64url'))
}

/** Opens what `sealText` sealed; `undefined`: it was not sealed here for that purpose. */
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

/** The hash of what `sealText` returned, of its bytes: several base64url texts decode to the same. */
export const hashSealed = (purpose: string, value: Secret): Hash =>
  sha256(`${purpose} ${Buffer.from(value.reveal(), 'base64url').toString('base64url')}`)
