import type { Admin, Store } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import type { Admins } from './admins.ts'
import type { Clock, Random } from '../runtime.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'

/** A setup link works for an hour, and only until there is an admin. */
const SETUP_LINK_LIFETIME_MS = 3_600_000

/** Creates the first admin, by a link that the program prints at its start. */
export interface Setup {
  /** Creates a setup link and returns its secret; earlier links stay valid. `undefined`: there is already an admin. */
  invite(): Promise<Secret | undefined>
  isOpen(secret: Secret): Promise<boolean>
  /**
   * Creates the first admin. `undefined`: the link has expired.
   * @throws BrokerError `invalid_request` for an invalid e-mail address or password
   */
  complete(
    secret: Secret,
    account: { email: string; password: Secret; address: string },
  ): Promise<Admin | undefined>
}

export function createSetup(dependencies: {
  store: Store
  admins: Admins
  config: { adminPasswords: boolean }
  clock: Clock
  random: Random
}): Setup {
  const { store, admins, config, clock, random } = dependencies
  return {
    async invite() {
      if (!config.adminPasswords) return undefined
      const secret = newSecret(random)
      const link = { secretHash: sha256(secret), expiresAt: clock.now() + SETUP_LINK_LIFETIME_MS }
      return (await store.addSetupLink(link)) ? new Secret(secret) : undefined
    },

    isOpen: async (secret) =>
      config.adminPasswords &&
      store.hasSetupLink({ secretHash: sha256(secret.reveal()), now: clock.now() }),

    async complete(secret, { email, password, address }) {
      if (!config.adminPasswords) return undefined
      const admin = await admins.make(email, password, 'admin')
      const now = clock.now()
      const event = { at: now, actor: `admin:${admin.email}`, action: 'admin.added', address }
      const added = await store.addAdmin(admin, {
        setupLink: { secretHash: sha256(secret.reveal()), now },
        events: [{ ...event, details: admin.email }],
      })
      return added ? store.findAdmin(admin.email) : undefined
    },
  }
}
