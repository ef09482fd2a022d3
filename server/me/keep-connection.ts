import { associatedData } from '../../db/associated-data.ts'
import type { Store } from '../../db/store.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Tokens } from '../ellipsis/client.ts'
import type { Log } from '../log.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { Clock } from '../runtime.ts'

/**
 * Makes sure that a sign-in at `/me` ends no connection. Ellipsis Drive may keep one refresh token for each user and
 * client. Then the sign-in has replaced the one that the active connection of the account has, and dropping the new
 * one would lose the connection. So the connection is refreshed with its own token. Only if that fails, it gets the
 * tokens of the sign-in. A connection that needs reconnecting stays as it is.
 */
export type KeepConnection = (accountId: string, tokens: Tokens) => Promise<void>

/** A refresh that began before the sign-in proves nothing. */
const MAX_REFRESHES = 2

export function createKeepConnection(dependencies: {
  store: Store
  vault: Vault
  refresher: Refresher
  clock: Clock
  log: Log
}): KeepConnection {
  const { store, vault, refresher, clock, log } = dependencies

  /** Does the connection's own refresh token still work? */
  const isIntact = async (id: string): Promise<boolean> => {
    const since = clock.now()
    for (let attempt = 0; attempt < MAX_REFRESHES; attempt++) {
      try {
        await refresher.refreshInBackground(id, since - 1)
      } catch (error) {
        log.warn(
          { err: error, connection: id },
          'a connection could not be refreshed after a sign-in',
        )
        return false
      }
      const { accessTokenFetchedAt } = (await store.getConnection(id)) ?? {}
      if ((accessTokenFetchedAt ?? 0) >= since) return true
    }
    return false
  }

  return async (accountId, { refreshToken, accessToken, expiresAt, fetchedAt }) => {
    const before = await store.findConnection(accountId)
    if (before?.status !== 'active' || !refreshToken || (await isIntact(before.id))) return
    const { id, generation } = before
    const now = clock.now()
    // `false`: another writer has stored newer tokens, or revoked the connection.
    const isSaved = await store.saveConnection({
      id,
      expectedGeneration: generation,
      accountId,
      username: before.username,
      tokens: {
        refreshToken: vault.seal(associatedData.refreshToken(id), refreshToken),
        accessToken: vault.seal(associatedData.accessToken(id), accessToken),
        accessTokenExpiresAt: expiresAt,
        accessTokenFetchedAt: fetchedAt,
      },
      now,
      code: null,
      events: [{ at: now, actor: 'system', action: 'connection.recovered', connectionId: id }],
    })
    if (isSaved) log.warn({ connection: id }, 'a connection got the refresh token of a sign-in')
  }
}
