import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Millis, Store } from '../../db/store.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Tokens } from '../ellipsis/client.ts'
import type { Log } from '../log.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'

/**
 * Makes sure that an authorization whose tokens are dropped ends no connection: a sign-in at `/me`, or one of another
 * account than the app asked for. Ellipsis Drive may keep one refresh token for each user and client. Then the
 * authorization has replaced the one that the active connection of the account has, and dropping the new one would
 * lose the connection. So the connection is refreshed with its own token. Only if that fails, it gets the tokens of
 * the authorization. A connection that needed reconnecting before stays as it is.
 * @returns does the account have a connection that needs no other tokens?
 */
export type KeepConnection = (accountId: string, tokens: Tokens) => Promise<boolean>

/** A refresh that began before the authorization proves nothing. */
const MAX_REFRESHES = 2
/** How often a conflict with another writer is retried. */
const MAX_CONFLICTS = 5
/** More than happen during an authorization. */
const EVENT_COUNT = 50

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
          'a connection could not be refreshed after another authorization',
        )
        return false
      }
      const { accessTokenFetchedAt } = (await store.getConnection(id)) ?? {}
      if ((accessTokenFetchedAt ?? 0) >= since) return true
    }
    return false
  }

  /** Is it in use? One that a refresh has found dead since the authorization may have been ended by it. */
  const wasInUse = async ({ id, status }: Connection, since: Millis): Promise<boolean> => {
    if (status !== 'needs_reconnect') return status === 'active'
    const { rows } = await store.listEvents({ filter: { connectionId: id }, limit: EVENT_COUNT })
    return rows.some(({ action, at }) => action === 'connection.needs_reconnect' && at >= since)
  }

  /** @returns `false`: another writer has stored tokens, or revoked the connection */
  const save = async (before: Connection, tokens: Tokens, refreshToken: Secret) => {
    const { id, generation: expectedGeneration, accountId, username } = before
    const { accessToken, expiresAt, fetchedAt } = tokens
    const now = clock.now()
    const isSaved = await store.saveConnection({
      ...{ id, expectedGeneration, accountId, username },
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
    if (isSaved)
      log.warn({ connection: id }, 'a connection got the refresh token of another authorization')
    return isSaved
  }

  return async (accountId, tokens) => {
    const { refreshToken, fetchedAt } = tokens
    if (!refreshToken) return false
    // Another authorization may have stored tokens that were issued before these, and so have ended.
    for (let attempt = 0; attempt < MAX_CONFLICTS; attempt++) {
      const before = await store.findConnection(accountId)
      if (!before || !(await wasInUse(before, fetchedAt))) return false
      if (await isIntact(before.id)) return true
      if (await save(before, tokens, refreshToken)) return true
    }
    return false
  }
}
