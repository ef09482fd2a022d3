import type { FastifyPluginAsync } from 'fastify'
import type {
  App,
  ConnectionPage,
  ConnectionQuery,
  ConnectionSort,
  ConnectionStatus,
  ListedConnection,
  UpstreamState,
} from '../../../../db/store.ts'
import type { AdminModels, SortableColumn, UserRow } from '../../../../views/admin/models.ts'
import type { HttpServices } from '../../../services.ts'
import { badgeOf } from './user-status.ts'

const ROWS = 25

/** What may be asked for in the field `status`; the first is what is shown unasked. */
const STATUSES = {
  live: { words: 'All that aren’t revoked', statuses: ['active', 'needs_reconnect'] },
  active: { words: 'Connected', statuses: ['active'] },
  needs_reconnect: { words: 'Needs reconnecting', statuses: ['needs_reconnect'] },
  revoked: { words: 'Revoked', statuses: ['revoked'] },
  all: { words: 'All', statuses: ['active', 'needs_reconnect', 'revoked'] },
} satisfies Record<string, { words: string; statuses: ConnectionStatus[] }>
type Status = keyof typeof STATUSES

interface Column {
  sort: ConnectionSort
  title: string
  descends: boolean
}
const BY_NAME: Column = { sort: 'user', title: 'User', descends: false }
const LATEST: Column = { sort: 'connected', title: 'Connected', descends: true }
/** The columns that sort; times begin with the latest. */
const COLUMNS: Column[] = [
  BY_NAME,
  LATEST,
  { sort: 'used', title: 'Last used', descends: true },
  { sort: 'until', title: 'Access token good until', descends: true },
]

/** What the address of the list says. */
export interface Asked {
  q: string
  status: Status
  app: string
  sort: ConnectionSort
  order: 'asc' | 'desc'
  from: string | null
}

/** The list of connected users. */
export const usersRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { apps, connections, upstream, clock, config } = services
  const list = `${config.basePath}/admin/users`

  app.get('/users', async (request, reply) => {
    const asked = readAsked(request.query as Record<string, unknown>)
    const [page, all] = await Promise.all([connections.browse(queryOf(asked)), apps.list()])
    const state = await upstream.state()
    const narrowed = asked.q !== '' || asked.app !== '' || asked.status !== 'live'
    const address = (changes: Partial<Asked>): string => addressOf(list, { ...asked, ...changes })
    return reply.show('admin/users', {
      ...formOf(asked, all),
      action: list,
      columns: COLUMNS.map((column) => columnOf(column, asked, address)),
      rows: page.rows.map((row) => rowOf(row, { all, state, now: clock.now(), list })),
      count: countOf(page, narrowed),
      crowded: page.crowded,
      partial: page.partial,
      newer: page.previous && address({ from: page.previous }),
      older: page.next && address({ from: page.next }),
      awaySince: state.failingSince,
      isEmpty: page.rows.length === 0 && (await isEmpty(connections)),
      narrowed,
    })
  })
}

/** Anything may be in an address: what isn't known is as if it weren't there. */
export function readAsked(query: Record<string, unknown>): Asked {
  const text = (name: string) => (typeof query[name] === 'string' ? query[name].trim() : '')
  const column = COLUMNS.find(({ sort }) => sort === text('sort'))
  const q = text('q').slice(0, 200)
  // Whoever searches a name looks for it in the alphabet; otherwise the newest come first.
  const { sort, descends } = column ?? (q === '' ? LATEST : BY_NAME)
  const [status, order] = [text('status'), text('order')]
  return {
    q,
    status: isStatus(status) ? status : 'live',
    app: text('app'),
    sort,
    order: order === 'asc' || order === 'desc' ? order : descends ? 'desc' : 'asc',
    from: text('from') || null,
  }
}

const isStatus = (text: string): text is Status => Object.hasOwn(STATUSES, text)

export const queryOf = ({ q, status, app, sort, order, from }: Asked): ConnectionQuery => ({
  search: q === '' ? null : q,
  statuses: STATUSES[status].statuses,
  appId: app === '' ? null : app,
  sort,
  descending: order === 'desc',
  cursor: from,
  limit: ROWS,
})

/** The address of a list; another order or filter begins at the first page. */
function addressOf(list: string, asked: Asked): string {
  const given = Object.entries(asked).filter(
    ([name, value]) => value !== '' && value !== null && !(name === 'status' && value === 'live'),
  ) as [string, string][]
  return `${list}?${new URLSearchParams(given).toString()}`
}

function columnOf(
  { sort, title, descends }: Column,
  asked: Asked,
  address: (changes: Partial<Asked>) => string,
): SortableColumn {
  const isSorted = asked.sort === sort
  const first = descends ? 'desc' : 'asc'
  const other = asked.order === 'asc' ? 'desc' : 'asc'
  const sorted = asked.order === 'asc' ? 'ascending' : 'descending'
  return {
    title,
    href: address({ sort, order: isSorted ? other : first, from: null }),
    sorted: isSorted ? sorted : null,
  }
}

/** Is it sorted as it is when nobody asks? */
function isUnasked({ q, sort, order }: Asked): boolean {
  const unasked = readAsked({ q })
  return sort === unasked.sort && order === unasked.order
}

const formOf = (
  asked: Asked,
  all: App[],
): Pick<AdminModels['admin/users'], 'search' | 'fields' | 'statuses' | 'apps'> => ({
  search: asked.q,
  // What the form doesn't ask for and yet keeps, if somebody chose it.
  fields: (['sort', 'order'] as const)
    .filter(() => !isUnasked(asked))
    .map((name) => ({ name, value: asked[name] })),
  statuses: Object.entries(STATUSES).map(([value, { words }]) => ({
    value,
    words,
    selected: value === asked.status,
  })),
  apps: all.map(({ id, name }) => ({ value: id, words: name, selected: id === asked.app })),
})

function rowOf(
  row: ListedConnection,
  known: { all: App[]; state: UpstreamState; now: number; list: string },
): UserRow {
  const { all, state, now, list } = known
  return {
    href: `${list}/${encodeURIComponent(row.id)}`,
    name: row.username,
    id: row.id,
    badge: badgeOf(row, state),
    apps: row.apps.map(({ id, endsAt }) => ({
      name: all.find((app) => app.id === id)?.name ?? 'A removed app',
      ended: endsAt <= now,
    })),
    connectedAt: row.connectedAt,
    lastUsedAt: row.lastUsedAt,
    tokenUntil: row.accessTokenExpiresAt,
    tokenEnded: row.accessTokenExpiresAt !== null && row.accessTokenExpiresAt <= now,
  }
}

const number = new Intl.NumberFormat('en-GB')

/** How many there are, or that match. */
function countOf({ total, crowded, partial }: ConnectionPage, narrowed: boolean): string {
  if (crowded) return `More than ${number.format(1000)} users match`
  if (partial && total === 0) return 'Nobody was found among those that were tried'
  const users = total === 1 ? 'user' : 'users'
  const match = narrowed ? (total === 1 ? ' matches' : ' match') : ''
  return `${partial ? 'At least ' : ''}${number.format(total)} ${users}${match}`
}

async function isEmpty(connections: HttpServices['connections']): Promise<boolean> {
  const counts = await connections.count()
  return counts.active + counts.needs_reconnect + counts.revoked === 0
}
