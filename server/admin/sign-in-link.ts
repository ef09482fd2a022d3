import { associatedData } from '../../db/associated-data.ts'
import type { Admin, Hash, Store } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import { hashSealed, openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import type { Browser, Sessions } from './sessions.ts'

const LINK_LIFETIME_MS = 3_600_000
/** Links stay short. */
const HASH_LENGTH_CHARS = 16

/**
 * Links that sign an admin in once, within an hour. They are made on the command line: the way in while
 * passwords are off and the identity provider is down.
 */
export interface SignInLinks {
  create(admin: Pick<Admin, 'id' | 'passwordHash'>): Secret
  /** Whom a link signs in; does not use it up. `undefined`: it has expired, or that admin or password is gone. */
  find(link: Secret): Promise<Admin | undefined>
  /** Uses a link up. `undefined`: it has expired or was used. */
  use(link: Secret, browser: Browser): Promise<{ session: Secret; device: Secret } | undefined>
}

export function createSignInLinks({
  store,
  vault,
  sessions,
  clock,
}: {
  store: Store
  vault: Vault
  sessions: Sessions
  clock: Clock
}): SignInLinks {
  const open = (link: Secret) => {
    const text = openText(vault, associatedData.signInLink(), link)
    if (text === undefined) return undefined
    const [expiresAt, id, passwordHash] = JSON.parse(text) as [number, string, Hash]
    const proofHash = hashSealed('sign-in link', link)
    return expiresAt > clock.now() ? { expiresAt, id, passwordHash, proofHash } : undefined
  }

  const find = async (link: Secret): Promise<Admin | undefined> => {
    const content = open(link)
    if (!content) return undefined
    const admin = (await store.listAdmins()).find(({ id }) => id === content.id)
    return admin && hashOf(admin) === content.passwordHash ? admin : undefined
  }

  return {
    create(admin) {
      const fields = [clock.now() + LINK_LIFETIME_MS, admin.id, hashOf(admin)]
      return sealText(vault, associatedData.signInLink(), JSON.stringify(fields))
    },

    find,

    async use(link, browser) {
      const [content, admin] = [open(link), await find(link)]
      if (!content || !admin) return undefined
      const { proofHash, expiresAt } = content
      if (!(await store.useProof({ proofHash, expiresAt }))) return undefined
      return sessions.begin(admin, browser, { details: 'with a link from the command line' })
    },
  }
}

/** A new password ends the links of before. */
const hashOf = ({ passwordHash }: Pick<Admin, 'passwordHash'>): Hash =>
  sha256(`password of a sign-in link ${passwordHash}`).slice(0, HASH_LENGTH_CHARS)
