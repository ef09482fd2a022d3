/** The passkeys of admins (Web Authentication); see db/store.ts. */
import type { Millis, NewEvent } from '../model.ts'
import type { Admin } from './admins.ts'

/** A public key credential of an admin. */
export interface Passkey {
  /** The credential id, base64url. */
  id: string
  adminId: string
  /** COSE_Key (RFC 9052 7). */
  publicKey: Uint8Array
  /** The signature counter of its last use; 0: the authenticator has none (WebAuthn 6.1.1). */
  counter: number
  /** How the browser reaches the authenticator, such as `internal` or `usb`. */
  transports: string[]
  /** Chosen by the admin. */
  name: string
  createdAt: Millis
  lastUsedAt: Millis | null
}

export interface PasskeyStore {
  /** The oldest first. */
  listPasskeys(adminId: string): Promise<Passkey[]>
  /** By credential id, with its owner. */
  findPasskey(id: string): Promise<{ passkey: Passkey; admin: Admin } | undefined>
  /**
   * Adds (`before` `null`), replaces or removes (`after` `null`) a passkey, if it is still as it was read.
   * `false`: it was changed since, its id is taken, or there is no such admin.
   */
  updatePasskey(before: Passkey | null, after: Passkey | null, events: NewEvent[]): Promise<boolean>
}
