import type {
  ConnectionFilter,
  ConnectionPage,
  ConnectionQuery,
  ConnectionSort,
  ConnectionStatus,
  ListedConnection,
  Store,
} from '../store.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Engine, SqlClient } from './engine.ts'
import { prepareSearch, type Filtered, type Row } from './listing-search.ts'

type Methods =
  'browseConnections' | 'walkConnections' | 'countConnections' | 'countConnectionsByApp'

/** Rows that a step of a walk returns, and those that it searches for them. */
const STEP_ROWS = 50
const SEARCHED_ROWS = 1000

/** In the order of their numbers in the table `listing`. */
const STATUSES: ConnectionStatus[] = ['active', 'needs_reconnect', 'revoked']
const COLUMNS: Record<ConnectionSort, string> = {
  user: 'name',
  connected: 'connected_at',
  used: 'last_used_at',
  expiry: 'access_token_expires_at',
}

/** A position in a list: after a row, or before it (`back`). */
interface Position {
  key: string | number
  n: number
  back: boolean
}

/** The list of connections: filtered, sorted, searched. Triggers keep the table `listing` up to date. */
export function listingMethods(engine: Engine): Pick<Store, Methods> {
  const { client, read } = engine
  const findApp = client.prepare('select n from listing_apps where app_id = ?').pluck()
  const countRows = client
    .prepare('select sum(rows) from listing_totals where app = ? and status = ?')
    .pluck()
  const countByApp = client.prepare(
    `select app_id as appId, status, sum(rows) as rows from listing_apps cross join listing_totals on app = n
     group by app_id, status`,
  )
  const rowsOf = prepareListedRows(client)
  const { search, match } = prepareSearch(engine)

  const appNumber = (appId: string | null): number | undefined =>
    appId === null ? 0 : (findApp.get(appId) as number | undefined)

  const count = (app: number, status: number): number =>
    (countRows.get(app, status) as number | null | undefined) ?? 0

  /** `undefined`: nothing matches. */
  const filter = (query: ConnectionFilter): Filtered | undefined => {
    const app = appNumber(query.appId)
    const statuses = STATUSES.flatMap((name, n) => (query.statuses.includes(name) ? [n] : []))
    if (app === undefined || statuses.length === 0) return undefined
    const total = statuses.reduce((sum, status) => sum + count(app, status), 0)
    return { app, statuses, total }
  }

  /** Rows after or before a position: a range of one index for each status, merged. */
  const range = (
    { app, statuses }: Filtered,
    order: Order,
    position: Position | null,
    limit: number,
  ) => {
    const { column, direction, comparison } = order
    const from = position ? `and (${column}, n) ${comparison} (@key, @n)` : ''
    const parts = statuses.map(
      (status) => `select * from (
        select n, ${column} as key from listing where app = @app and status = ${status} ${from}
        order by ${column} ${direction}, n ${direction} limit @limit) as rows${status}`,
    )
    const all = `${parts.join(' union all ')} order by key ${direction}, n ${direction} limit @limit`
    return client.prepare(all).all({ app, limit, ...position }) as Row[]
  }

  const browse = client.transaction((query: ConnectionQuery): ConnectionPage => {
    const filtered = filter(query)
    if (!filtered) return emptyPage
    const column = COLUMNS[query.sort]
    const hits = query.search === null ? null : search(query.search, filtered, column)
    const rows = (order: Order, position: Position | null, limit: number): Row[] =>
      hits ? among(hits.rows, order, position, limit) : range(filtered, order, position, limit)
    const page = pageOf(query, rows)
    return {
      rows: rowsOf(page.rows.map(({ n }) => n)),
      previous: page.previous,
      next: page.next,
      total: hits?.rows.length ?? filtered.total,
      crowded: hits?.crowded ?? false,
      partial: hits?.partial ?? false,
    }
  })

  const walk = client.transaction((query: ConnectionFilter, cursor: string | null) => {
    const filtered = filter(query)
    if (!filtered) return { rows: [], next: null }
    const most = query.search === null ? STEP_ROWS : SEARCHED_ROWS
    const searched = range(filtered, BY_CONNECTION, parseCursor(cursor), most)
    const hits = query.search === null ? searched : match(searched, query.search, filtered)
    const rows = hits.slice(0, STEP_ROWS)
    // After the last row returned, if more match; otherwise after all rows that were searched.
    const end =
      hits.length > STEP_ROWS ? rows.at(-1) : searched.length === most ? searched.at(-1) : undefined
    return { rows: rowsOf(rows.map(({ n }) => n)), next: end ? toCursor(end, false) : null }
  })

  return {
    browseConnections: (query) => read(() => browse(query)),
    walkConnections: (filter, cursor) => read(() => walk(filter, cursor)),

    countConnections: (appId = null) =>
      read(() => {
        const app = appNumber(appId)
        const counts = STATUSES.map((_status, n) => (app === undefined ? 0 : count(app, n)))
        const [active = 0, needs_reconnect = 0, revoked = 0] = counts
        return { active, needs_reconnect, revoked }
      }),

    countConnectionsByApp: () =>
      read(() => {
        const totals = countByApp.all() as { appId: string; status: number; rows: number }[]
        const counts = Map.groupBy(totals, ({ appId }) => appId)
        const rowsOf = (appId: string, status: number): number =>
          counts.get(appId)?.find((total) => total.status === status)?.rows ?? 0
        return new Map(
          [...counts.keys()].map((id) => [
            id,
            { active: rowsOf(id, 0), needs_reconnect: rowsOf(id, 1), revoked: rowsOf(id, 2) },
          ]),
        )
      }),
  }
}

interface Order {
  column: string
  direction: 'asc' | 'desc'
  comparison: '<' | '>'
}

const BY_CONNECTION: Order = { column: COLUMNS.connected, direction: 'asc', comparison: '>' }

/** Rows of a search, after or before a position. */
function among(
  found: Row[],
  { direction }: Order,
  position: Position | null,
  limit: number,
): Row[] {
  const sign = direction === 'asc' ? 1 : -1
  return found
    .filter((row) => position === null || sign * compare(row, position) > 0)
    .sort((one, other) => sign * compare(one, other))
    .slice(0, limit)
}

const compare = (one: Row, other: Row): number =>
  one.key === other.key ? one.n - other.n : one.key < other.key ? -1 : 1

const emptyPage: ConnectionPage = {
  ...{ rows: [], previous: null, next: null },
  ...{ total: 0, crowded: false, partial: false },
}

/** Reads one row more than asked for, which tells whether there is another page. */
function pageOf(
  {
    sort,
    descending,
    cursor,
    limit,
  }: Pick<ConnectionQuery, 'sort' | 'descending' | 'cursor' | 'limit'>,
  read: (order: Order, position: Position | null, limit: number) => Row[],
): { rows: Row[]; previous: string | null; next: string | null } {
  const column = COLUMNS[sort]
  const position = parseCursor(cursor)
  const back = position?.back === true
  const down = descending !== back
  const order: Order = down
    ? { column, direction: 'desc', comparison: '<' }
    : { column, direction: 'asc', comparison: '>' }
  const found = read(order, position, limit + 1)
  // The cursor points before the first row; restart from the first page.
  if (back && found.length === 0) return pageOf({ sort, descending, cursor: null, limit }, read)
  const more = found.length > limit
  const rows = back ? found.slice(0, limit).reverse() : found.slice(0, limit)
  // The cursor points after the last row; the previous page ends with that row.
  const end = position && { ...position, n: position.n + (descending ? -1 : 1) }
  const [first = end, last] = [rows[0], rows.at(-1)]
  return {
    rows,
    previous: first && (back ? more : position !== null) ? toCursor(first, true) : null,
    next: last && (back || more) ? toCursor(last, false) : null,
  }
}

const toCursor = ({ key, n }: Row, back: boolean): string => encodeCursor(back, n, key)

function parseCursor(cursor: string | null): Position | null {
  const decoded = decodeCursor(cursor)
  return decoded && { back: decoded.isBackward, n: decoded.first, key: decoded.second }
}

const ROWS = `
  select
    connections.id as id, account_id as accountId, username, status, access_token_expires_at as accessTokenExpiresAt,
    failures, last_error as lastError, retry_at as retryAt, connected_at as connectedAt,
    refreshed_at as refreshedAt, last_used_at as lastUsedAt, revoked_at as revokedAt,
    erased_at as erasedAt, person_erased_at as personErasedAt
  from json_each(?) as wanted cross join listing_names on n = cast(wanted.value as bigint)
    cross join connections on connections.id = connection_id
  order by wanted.key`

const APPS = `
  select connection_id as connectionId, app_id as id, max(expires_at_seconds) * 1000 as endsAt
  from json_each(?) cross join grants on connection_id = value
  where revoked_at is null group by connection_id, app_id order by connection_id, app_id`

/** Prepares the read of the rows of a page, by their numbers in `listing_names` and in that order. */
function prepareListedRows(client: SqlClient): (numbers: number[]) => ListedConnection[] {
  type Found = Omit<ListedConnection, 'apps'>
  type App = ListedConnection['apps'][number] & { connectionId: string }
  const findRows = client.prepare<[string], Found>(ROWS)
  const findApps = client.prepare<[string], App>(APPS)

  return (numbers) => {
    const rows = findRows.all(JSON.stringify(numbers))
    const ids = rows.map(({ id }) => id)
    const apps = Map.groupBy(findApps.all(JSON.stringify(ids)), ({ connectionId }) => connectionId)
    return rows.map((row) => ({
      ...row,
      apps: (apps.get(row.id) ?? []).map(({ id, endsAt }) => ({ id, endsAt })),
    }))
  }
}
