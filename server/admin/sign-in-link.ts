import { associatedData } from '../../db/associated-data.ts'
import type { Admin, Store } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Clock } from '../runtime.ts'
import { Secret } from '../secret.ts'
import type { Browser, Sessions } from './sessions.ts'

const LINK_LIFETIME_MS = 3_600_000

/**
 * Links that sign an admin in once, within an hour. Whoever has the command line makes them: the way in while
 * passwords are off and the identity provider is down.
 */
export interface SignInLinks {
  create(admin: Pick<Admin, 'id'>): Secret
  /** Whom a link signs in; does not use it up. `undefined`: it has expired, or the admin was removed. */
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
  const open = (link: Secret): { id: string; expiresAt: number; proofHash: string } | undefined => {
    const sealed = Buffer.from(link.reveal(), 'base64url')
    // A stranger chooses the key id. An unknown one must not load the keys again.
    if (!vault.keyIds().includes(vault.keyOf(sealed) ?? '')) return undefined
    try {
      const text = vault.open(associatedData.signInLink(), sealed).reveal()
      const [expiresAt, id] = JSON.parse(text) as [number, string]
      // Of the bytes: several texts decode to the same.
      const proofHash = sha256(`sign-in link ${sealed.toString('base64url')}`)
      return expiresAt > clock.now() ? { expiresAt, id, proofHash } : undefined
    } catch {
      return undefined
    }
  }

  const find = async (link: Secret): Promise<Admin | undefined> => {
    const id = open(link)?.id
    return id === undefined ? id : (await store.listAdmins()).find((admin) => admin.id === id)
  }

  return {
    create({ id }) {
      const content = new Secret(JSON.stringify([clock.now() + LINK_LIFETIME_MS, id]))
      const sealed = vault.seal(associatedData.signInLink(), content, { padded: false })
      return new Secret(Buffer.from(sealed).toString('base64url'))
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
