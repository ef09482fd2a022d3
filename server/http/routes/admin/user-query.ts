import type {
  ConnectionFilter,
  ConnectionQuery,
  ConnectionSort,
  ConnectionStatus,
} from '../../../../db/store.ts'
import { fieldReader } from './request.ts'

const ROWS_PER_PAGE = 25
const MAX_SEARCH_LENGTH_CHARS = 200

/** Values of the field `status`. The default is `live`. */
export const STATUS_FILTERS = {
  live: { label: 'Not revoked', statuses: ['active', 'needs_reconnect'] },
  active: { label: 'Connected', statuses: ['active'] },
  needs_reconnect: { label: 'Needs reconnecting', statuses: ['needs_reconnect'] },
  revoked: { label: 'Revoked', statuses: ['revoked'] },
  all: { label: 'All', statuses: ['active', 'needs_reconnect', 'revoked'] },
} satisfies Record<string, { label: string; statuses: ConnectionStatus[] }>
type StatusFilter = keyof typeof STATUS_FILTERS

/** A column that can be sorted. */
interface SortedColumn {
  sort: ConnectionSort
  title: string
  /** The order on the first click. */
  descends: boolean
}
const NAME_COLUMN: SortedColumn = { sort: 'user', title: 'User', descends: false }
const CONNECTED_COLUMN: SortedColumn = { sort: 'connected', title: 'Connected', descends: true }
/** The columns of the list, in order; views/admin/users.eta has their cells. */
export const COLUMNS: (SortedColumn | { title: string })[] = [
  NAME_COLUMN,
  { title: 'Apps' },
  { title: 'Status' },
  CONNECTED_COLUMN,
  { sort: 'used', title: 'Last used', descends: true },
  { sort: 'expiry', title: 'Token expires', descends: true },
]

/** The query string of the list of users. */
export interface UserQuery {
  q: string
  status: StatusFilter
  app: string
  sort: ConnectionSort
  order: 'asc' | 'desc'
  from: string | null
}

/**
 * Reads the query of the list of users. Unknown values count as absent.
 * @param fields the parsed query, or a form that carries the filter
 */
export function readUserQuery(fields: unknown): UserQuery {
  const field = fieldReader(fields)
  const text = (name: string) => field(name).trim()
  const sorted = COLUMNS.filter((column) => 'sort' in column)
  const column = sorted.find(({ sort }) => sort === text('sort'))
  const q = text('q').slice(0, MAX_SEARCH_LENGTH_CHARS)
  // Search results are sorted by name, the full list by connection time, newest first.
  const { sort, descends } = column ?? (q === '' ? CONNECTED_COLUMN : NAME_COLUMN)
  const [status, order] = [text('status'), text('order')]
  return {
    q,
    status: isStatusFilter(status) ? status : 'live',
    app: text('app'),
    sort,
    order: order === 'asc' || order === 'desc' ? order : descends ? 'desc' : 'asc',
    from: text('from') || null,
  }
}

const isStatusFilter = (text: string): text is StatusFilter => Object.hasOwn(STATUS_FILTERS, text)

/** Whether the sort order is the one without `sort` and `order` in the query. */
export function hasDefaultOrder({ q, sort, order }: UserQuery): boolean {
  const defaults = readUserQuery({ q })
  return sort === defaults.sort && order === defaults.order
}

export const toConnectionQuery = (query: UserQuery): ConnectionQuery => ({
  search: query.q === '' ? null : query.q,
  statuses: STATUS_FILTERS[query.status].statuses,
  appId: query.app === '' ? null : query.app,
  sort: query.sort,
  descending: query.order === 'desc',
  cursor: query.from,
  limit: ROWS_PER_PAGE,
})

/** Reads the filter of the list of users from a form: fields `q`, `status`, `app`. */
export function readUserFilter(form: unknown): ConnectionFilter {
  const { search, statuses, appId } = toConnectionQuery(readUserQuery(form))
  return { search, statuses, appId }
}

/** The URL of the list of users for a query. Default values are left out. */
export function userListUrl(list: string, query: UserQuery): string {
  const fields = Object.entries(query).filter(
    ([name, value]) => value !== '' && value !== null && !(name === 'status' && value === 'live'),
  ) as [string, string][]
  return `${list}?${new URLSearchParams(fields).toString()}`
}
