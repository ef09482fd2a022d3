import type { Connection, ConnectionFilter, Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'

/**
 * Connections that an import has stored, and that no refresh has proven yet: nobody got a grant of them, and
 * their tokens are in the host's file as they are here.
 */
export const isPendingImport = (connection: Connection): boolean =>
  connection.status !== 'revoked' &&
  connection.generation === 1 &&
  connection.accountId === null &&
  connection.accessTokenFetchedAt === 0

/** Why such a connection is ended, though nobody asked for it: its token may be taken from the file anew. */
export const ENDED = {
  refused: 'Ellipsis Drive refused this refresh token',
  clientRefused: 'Ellipsis Drive refused the broker’s own client',
  clientChanged: 'it was imported for another OAuth client or API, and never proven',
}

/** Was a connection ended as one that was never proven? By the details of its latest event. */
export const wasPendingImport = (reason: string): boolean => Object.values(ENDED).includes(reason)

/** Ends one. */
export function endPendingImport(store: Store, clock: Clock, id: string, why: keyof typeof ENDED) {
  const at = clock.now()
  const event = { at, actor: 'cli', action: 'connection.revoked', connectionId: id }
  return store.revokeConnection({ id, now: at, events: [{ ...event, details: ENDED[why] }] })
}

/** Removes one that was ended, so that nothing is left of it. `false`: its erasure is pending yet. */
export async function removePendingImport(
  store: Store,
  clock: Clock,
  id: string,
): Promise<boolean> {
  const purged = await store.purge({ now: clock.now(), limit: 1, connectionId: id })
  return purged === 'done' && store.removeConnection(id)
}

const UNREVOKED: ConnectionFilter = {
  search: null,
  statuses: ['active', 'needs_reconnect'],
  appId: null,
}

/** All of them, by their ids, where there are no others but revoked ones; otherwise `null`. */
export async function findOnlyPendingImport(store: Store): Promise<string[] | null> {
  const found: string[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<Store['walkConnections']>> = await store.walkConnections(
      UNREVOKED,
      cursor,
    )
    const rows = await Promise.all(page.rows.map(({ id }) => store.getConnection(id)))
    const live = rows.flatMap((row) => (row && row.status !== 'revoked' ? [row] : []))
    if (!live.every(isPendingImport)) return null
    found.push(...live.map(({ id }) => id))
    cursor = page.next
  } while (cursor !== null)
  return found
}
