import { fold } from '../../../../db/fold.ts'
import type {
  Connection,
  ConnectionFilter,
  ConnectionSort,
  ConnectionStatus,
  ListedConnection,
} from '../../../../db/store.ts'
import { appsOf, finds } from './connections.ts'
import { pick } from './grants.ts'
import { sortBy } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  'browseConnections' | 'walkConnections' | 'countConnections' | 'countConnectionsByApp'

const SORT_KEYS: Record<ConnectionSort, (connection: Connection) => string | number | null> = {
  user: ({ username }) => fold(username),
  connected: ({ connectedAt }) => connectedAt,
  used: ({ lastUsedAt }) => lastUsedAt,
  expiry: ({ accessTokenExpiresAt }) => accessTokenExpiresAt,
}

export const listingRules = (tables: Tables): Answering<Methods> => {
  const visible = (): Connection[] => [...tables.connections.values()].filter(isVisible)

  const matching = ({ search, statuses, appId }: ConnectionFilter): Connection[] =>
    visible()
      .filter(({ status }) => statuses.includes(status))
      .filter((one) => search === null || finds(tables, search, one))
      .filter((one) => appId === null || appsOf(tables, one.id).some(({ id }) => id === appId))

  const count = (connections: Connection[]): Record<ConnectionStatus, number> => {
    const counts = { active: 0, needs_reconnect: 0, revoked: 0 }
    for (const { status } of connections) counts[status]++
    return counts
  }

  return {
    /** The cursor is the offset of the page. */
    browseConnections({ sort, descending, cursor, limit, ...filter }) {
      const key = SORT_KEYS[sort]
      const rows = sortBy(matching(filter), key, ({ id }) => id)
      if (descending) rows.reverse()
      const from = Number(cursor ?? 0)
      return {
        rows: rows.slice(from, from + limit).map((row) => listed(tables, row)),
        previous: from > 0 ? `${Math.max(0, from - limit)}` : null,
        next: rows.length > from + limit ? `${from + limit}` : null,
        total: rows.length,
        crowded: false,
        partial: false,
      }
    },

    walkConnections: (filter) => ({
      rows: sortBy(matching(filter), SORT_KEYS.connected).map((row) => listed(tables, row)),
      next: null,
    }),

    countConnections: (appId = null) =>
      count(
        visible().filter(
          ({ id }) => appId === null || appsOf(tables, id).some((app) => app.id === appId),
        ),
      ),

    countConnectionsByApp() {
      const appIds = new Set([...tables.grants.values()].map(({ appId }) => appId))
      return new Map([...appIds].map((appId) => [appId, this.countConnections(appId)]))
    },
  }
}

/** An import that was ended, or a connection that another one replaced, is in no list, search or count. */
const isVisible = ({ importState, replacedBy }: Connection): boolean =>
  importState !== 'rejected' && replacedBy === null

const listed = (tables: Tables, connection: Connection): ListedConnection => ({
  ...pick(
    connection,
    ...(['id', 'accountId', 'username', 'status', 'accessTokenExpiresAt', 'failures'] as const),
    ...(['lastError', 'retryAt', 'connectedAt', 'refreshedAt', 'lastUsedAt'] as const),
    ...(['revokedAt', 'erasedAt', 'personErasedAt'] as const),
  ),
  apps: appsOf(tables, connection.id),
})
