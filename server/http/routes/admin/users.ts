import type { FastifyPluginAsync } from 'fastify'
import type {
  App,
  Connection,
  ConnectionPage,
  ListedConnection,
  UpstreamState,
} from '../../../../db/store.ts'
import type { AdminModels, UserColumn, UserRow } from '../../../../views/admin/models.ts'
import type { Badge } from '../../../../views/admin/monitoring.ts'
import type { HttpServices } from '../../../services.ts'
import { formatCount, formatNumber, plainName } from './format.ts'
import {
  COLUMNS,
  hasDefaultOrder,
  readUserQuery,
  STATUS_FILTERS,
  toConnectionQuery,
  userListUrl,
} from './user-query.ts'
import type { UserQuery } from './user-query.ts'

/** The list of connected users. */
export const usersRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { apps, connections, upstream, clock, config } = services
  const list = `${config.basePath}/admin/users`

  app.get('/users', async (request, reply) => {
    const query = readUserQuery(request.query)
    const [page, all, state] = await Promise.all([
      connections.browse(toConnectionQuery(query)),
      apps.list(),
      upstream.state(),
    ])
    const isFiltered = query.q !== '' || query.app !== '' || query.status !== 'live'
    const urlWith = (changes: Partial<UserQuery>) => userListUrl(list, { ...query, ...changes })
    return reply.show('admin/users', {
      ...formModel(query, all),
      action: list,
      columns: COLUMNS.map((column) => columnModel(column, query, urlWith)),
      rows: page.rows.map((row) => rowModel(row, { all, state, now: clock.now(), list })),
      count: countText(page, isFiltered),
      isCapped: page.crowded,
      isPartial: page.partial,
      newer: page.previous && urlWith({ from: page.previous }),
      older: page.next && urlWith({ from: page.next }),
      outageSince: state.failingSince,
      isEmpty: page.rows.length === 0 && (await hasNoConnections(connections)),
      isFiltered,
    })
  })
}

/** The status of a connection. A rejected connection and an outage of Ellipsis Drive look different. */
export function connectionBadge(
  { status, failures }: Pick<Connection, 'status' | 'failures'>,
  upstream: UpstreamState,
): Badge {
  if (status === 'revoked') return { tone: 'quiet', text: 'Revoked' }
  if (status === 'needs_reconnect') return { tone: 'bad', text: 'Needs reconnecting' }
  if (failures === 0) return { tone: 'good', text: 'Connected' }
  const isOutage = upstream.failingSince !== null
  return { tone: 'warn', text: isOutage ? 'Waiting for Ellipsis Drive' : 'Last refresh failed' }
}

/** A sort link starts at the first page. */
function columnModel(
  column: (typeof COLUMNS)[number],
  query: UserQuery,
  urlWith: (changes: Partial<UserQuery>) => string,
): UserColumn {
  const { title } = column
  if (!('sort' in column)) return { title, href: null, sorted: null }
  const { sort, descends } = column
  const isSorted = query.sort === sort
  const firstOrder = descends ? 'desc' : 'asc'
  const oppositeOrder = query.order === 'asc' ? 'desc' : 'asc'
  const sorted = query.order === 'asc' ? 'ascending' : 'descending'
  return {
    title,
    href: urlWith({ sort, order: isSorted ? oppositeOrder : firstOrder, from: null }),
    sorted: isSorted ? sorted : null,
  }
}

const formModel = (
  query: UserQuery,
  all: App[],
): Pick<AdminModels['admin/users'], 'search' | 'fields' | 'statuses' | 'apps'> => ({
  search: query.q,
  // Hidden fields keep a chosen sort order.
  fields: (['sort', 'order'] as const)
    .filter(() => !hasDefaultOrder(query))
    .map((name) => ({ name, value: query[name] })),
  statuses: Object.entries(STATUS_FILTERS).map(([value, { label }]) => ({
    value,
    label,
    selected: value === query.status,
  })),
  apps: all.map(({ id, name }) => ({ value: id, label: name, selected: id === query.app })),
})

const APPS_PER_ROW = 2

function rowModel(
  row: ListedConnection,
  context: { all: App[]; state: UpstreamState; now: number; list: string },
): UserRow {
  const { all, state, now, list } = context
  const apps = row.apps.map(({ id, endsAt }) => {
    const app = all.find((app) => app.id === id)
    // An offline app needs no valid broker token.
    return { name: app?.name ?? 'Removed app', isExpired: endsAt <= now && !app?.offline }
  })
  const others = apps.slice(APPS_PER_ROW)
  return {
    href: `${list}/${encodeURIComponent(row.id)}`,
    name: row.username,
    id: row.id,
    badge: connectionBadge(row, state),
    apps: apps.slice(0, APPS_PER_ROW),
    moreApps:
      others.length === 0
        ? null
        : { count: others.length, names: others.map(({ name }) => plainName(name)).join(', ') },
    connectedAt: row.connectedAt,
    lastUsedAt: row.lastUsedAt,
    tokenExpiresAt: row.accessTokenExpiresAt,
    isTokenExpired: row.accessTokenExpiresAt !== null && row.accessTokenExpiresAt <= now,
  }
}

const MAX_COUNTED = 1000

/** The number of users or matches, as a sentence without its full stop. */
function countText({ total, crowded, partial }: ConnectionPage, isFiltered: boolean): string {
  if (crowded) return `More than ${formatNumber(MAX_COUNTED)} users match`
  if (partial && total === 0) return 'No match among the names that were checked'
  const verb = isFiltered ? (total === 1 ? ' matches' : ' match') : ''
  return `${partial ? 'At least ' : ''}${formatCount(total, 'user')}${verb}`
}

async function hasNoConnections(connections: HttpServices['connections']): Promise<boolean> {
  const counts = await connections.count()
  return counts.active + counts.needs_reconnect + counts.revoked === 0
}
