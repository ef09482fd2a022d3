import type { Admin, Store } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import type { Admins } from './admins.ts'
import type { Clock, Random } from '../runtime.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'

/** A setup link is good for an hour, or until there is an admin. */
const LIFE = 3_600_000

/** The way in for the first admin: who can read the program's output may make one. */
export interface Setup {
  /** A new link's secret, beside others that are live. `undefined`: there is an admin already. */
  invite(): Promise<Secret | undefined>
  isOpen(secret: Secret): Promise<boolean>
  /**
   * Makes the first admin. `undefined`: the link has ended.
   * @throws BrokerError `invalid_request` for an e-mail address or a password that won't do
   */
  complete(
    secret: Secret,
    given: { email: string; password: Secret; address: string },
  ): Promise<Admin | undefined>
}

export function createSetup(needs: {
  store: Store
  admins: Admins
  clock: Clock
  random: Random
}): Setup {
  const { store, admins, clock, random } = needs
  return {
    async invite() {
      const secret = newSecret(random)
      const link = { secretHash: sha256(secret), expiresAt: clock.now() + LIFE }
      return (await store.addSetupLink(link)) ? new Secret(secret) : undefined
    },

    isOpen: (secret) =>
      store.hasSetupLink({ secretHash: sha256(secret.reveal()), now: clock.now() }),

    async complete(secret, { email, password, address }) {
      const admin = await admins.make(email, password, 'admin')
      const now = clock.now()
      const event = { at: now, actor: `admin:${admin.email}`, action: 'admin.added', address }
      const added = await store.addAdmin(admin, {
        setupLink: { secretHash: sha256(secret.reveal()), now },
        events: [{ ...event, details: admin.email }],
      })
      return added ? { ...admin, secondFactorSince: null } : undefined
    },
  }
}
