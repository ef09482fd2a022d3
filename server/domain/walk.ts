import { fold } from '../../db/fold.ts'
import type { ConnectionQuery, ListedConnection, Store } from '../../db/store.ts'

/** Which connections. */
export type WalkFilter = Pick<ConnectionQuery, 'search' | 'statuses' | 'appId'>

/**
 * Goes through all connections that match, however many, in the order in which they were connected: some
 * of them a call, quick enough to leave the event loop free. A search finds those that the list finds by
 * name or id, though that ends at a thousand.
 * @param cursor `next` of the call before; `null`: from the beginning
 */
export type Walk = (
  filter: WalkFilter,
  cursor: string | null,
) => Promise<{ rows: ListedConnection[]; next: string | null }>

/** Connections looked at in one call. */
const BATCH = 200

export function createWalk({ store }: { store: Pick<Store, 'browseConnections'> }): Walk {
  const order = { sort: 'connected', descending: false, limit: BATCH } as const
  return async ({ search, ...filter }, cursor) => {
    const query = { ...filter, ...order, search: null, cursor }
    const { rows, next } = await store.browseConnections(query)
    return { rows: rows.filter(matcher(search)), next }
  }
}

function matcher(search: string | null): (row: ListedConnection) => boolean {
  if (search === null) return () => true
  const [text, key] = [search.trim(), fold(search)]
  const anywhere = Array.from(key).length >= 3
  return ({ id, accountId, username }) => {
    const name = fold(username)
    const named = anywhere ? name.includes(key) : key !== '' && name.startsWith(key)
    return named || id === text || accountId === text
  }
}
