import { associatedData } from '../../db/associated-data.ts'
import type { Hash, Millis, Store } from '../../db/store.ts'
import { hashSealed, openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'

export const PERSON_SESSION_LIFETIME_MS = 15 * 60_000

/** Who is signed in at `/me`. */
export interface Person {
  /** Ellipsis Drive's id of the account; `null`: it doesn't tell. */
  accountId: string | null
  /** A label, not an identity; may be empty. */
  username: string
  /** Without an account: the connections without an account that were made in this browser. */
  connectionIds: string[]
}

/** Sessions at `/me`: sealed into a cookie of the browser, so nothing is stored, except that one was ended. */
export interface PersonSessions {
  /** Begins a session of fifteen minutes. Returns the cookie's value. */
  begin(person: Person): Secret
  /** Whose session it is; `undefined`: it has ended, or was not begun here. */
  find(session: Secret): Promise<Person | undefined>
  /** Ends a session, also for those who copied the cookie. */
  end(session: Secret): Promise<void>
}

type Fields = [
  expiresAt: Millis,
  accountId: string | null,
  username: string,
  connectionIds: string[],
]

export function createPersonSessions(dependencies: {
  store: Pick<Store, 'useState' | 'listUsedStates'>
  vault: Vault
  clock: Clock
}): PersonSessions {
  const { store, vault, clock } = dependencies
  const hashOf = (session: Secret): Hash => hashSealed('session of a person', session)
  const open = (session: Secret) => openText(vault, associatedData.personSession, session)

  return {
    begin({ accountId, username, connectionIds }) {
      const expiresAt = clock.now() + PERSON_SESSION_LIFETIME_MS
      const fields: Fields = [expiresAt, accountId, username, connectionIds]
      return sealText(vault, associatedData.personSession, JSON.stringify(fields))
    },

    async find(session) {
      const text = open(session)
      if (text === undefined) return undefined
      const [expiresAt, accountId, username, connectionIds] = JSON.parse(text) as Fields
      if (expiresAt <= clock.now()) return undefined
      const ended = await store.listUsedStates([hashOf(session)])
      return ended.length > 0 ? undefined : { accountId, username, connectionIds }
    },

    async end(session) {
      const text = open(session)
      if (text === undefined) return
      const [expiresAt] = JSON.parse(text) as Fields
      await store.useState({ stateHash: hashOf(session), expiresAt })
    },
  }
}
