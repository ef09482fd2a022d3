import { associatedData } from '../../db/associated-data.ts'
import type { Store } from '../../db/store.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Clock, Random } from '../runtime.ts'
import { Secret } from '../secret.ts'

/** How long a person may take to confirm in the browser's dialog. */
export const CHALLENGE_LIFETIME_MS = 5 * 60_000

/** What a passkey is used for; after the password and inside, in which session: the hash of its cookie. */
export type PasskeyPurpose = 'sign-in' | `${'code' | 'confirm' | 'add'} ${string}`

/** Challenges that a passkey signs. The browser keeps them sealed, so that the broker need not store them. */
export interface PasskeyChallenges {
  /** @returns the challenge, base64url, and the same sealed for one purpose, for a cookie */
  create(purpose: PasskeyPurpose): { challenge: string; sealed: Secret }
  /** Uses a challenge up. `undefined`: it has expired, is for another purpose, or was used before. */
  use(purpose: PasskeyPurpose, sealed: Secret | undefined): Promise<string | undefined>
}

export function createPasskeyChallenges(dependencies: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
}): PasskeyChallenges {
  const { store, vault, clock, random } = dependencies

  const open = (purpose: PasskeyPurpose, sealed: Secret) => {
    try {
      const bytes = Buffer.from(sealed.reveal(), 'base64url')
      const [challenge = '', expiresAt] = vault
        .open(associatedData.passkeyChallenge(purpose), bytes)
        .reveal()
        .split(' ')
      return { challenge, expiresAt: Number(expiresAt) }
    } catch {
      // Not sealed by this broker, or for another purpose.
      return undefined
    }
  }

  return {
    create(purpose) {
      const challenge = newSecret(random)
      const content = new Secret(`${challenge} ${clock.now() + CHALLENGE_LIFETIME_MS}`)
      const sealed = vault.seal(associatedData.passkeyChallenge(purpose), content)
      return { challenge, sealed: new Secret(Buffer.from(sealed).toString('base64url')) }
    },

    async use(purpose, sealed) {
      const opened = sealed && open(purpose, sealed)
      if (!opened || opened.expiresAt <= clock.now()) return undefined
      const { challenge, expiresAt } = opened
      const proofHash = sha256(`passkey challenge ${challenge}`)
      return (await store.useProof({ proofHash, expiresAt })) ? challenge : undefined
    },
  }
}
