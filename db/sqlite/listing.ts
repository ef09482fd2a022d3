import type { ConnectionFilter, ConnectionPage, ConnectionQuery, ConnectionSort } from '../store.ts'
import type { ConnectionStatus, Store } from '../store.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Engine } from './engine.ts'
import { prepareListedRows } from './listing-rows.ts'
import type { Filtered, Row } from './listing-rows.ts'
import { prepareSearch } from './listing-search.ts'

type Methods = 'browseConnections' | 'walkConnections' | 'countConnections'

/** Rows of a step of a walk, and those among which a search looks for them. */
const STEP = 50
const LOOKED_AT = 1000

/** As the table `listing` writes them. */
const STATUSES: ConnectionStatus[] = ['active', 'needs_reconnect', 'revoked']
const COLUMNS: Record<ConnectionSort, string> = {
  user: 'name',
  connected: 'connected_at',
  used: 'last_used_at',
  until: 'access_token_expires_at',
}

/** A place in a listing: behind a row, or before it. */
interface Place {
  key: string | number
  n: number
  back: boolean
}

/** The listing of connections: everybody's, filtered, sorted, searched. */
export function listingMethods({ client, read }: Engine): Pick<Store, Methods> {
  const findApp = client.prepare('select n from listing_apps where app_id = ?').pluck()
  const countRows = client
    .prepare('select rows from listing_totals where app = ? and status = ?')
    .pluck()
  const rowsOf = prepareListedRows(client)
  const { search, match } = prepareSearch(client)

  const appNumber = (appId: string | null): number | undefined =>
    appId === null ? 0 : (findApp.get(appId) as number | undefined)

  const count = (app: number, status: number): number =>
    (countRows.get(app, status) as number | undefined) ?? 0

  /** `undefined`: nobody. */
  const filter = (query: ConnectionFilter): Filtered | undefined => {
    const app = appNumber(query.appId)
    const statuses = STATUSES.flatMap((name, n) => (query.statuses.includes(name) ? [n] : []))
    if (app === undefined || statuses.length === 0) return undefined
    const total = statuses.reduce((sum, status) => sum + count(app, status), 0)
    return { app, statuses, total }
  }

  /** Rows behind or before a place: a range of one index for each status, merged. */
  const range = ({ app, statuses }: Filtered, order: Order, place: Place | null, limit: number) => {
    const { column, direction, comparison } = order
    const from = place ? `and (${column}, n) ${comparison} (@key, @n)` : ''
    const parts = statuses.map(
      (status) => `select * from (
        select n, ${column} as key from listing where app = @app and status = ${status} ${from}
        order by ${column} ${direction}, n ${direction} limit @limit)`,
    )
    const all = `${parts.join(' union all ')} order by key ${direction}, n ${direction} limit @limit`
    return client.prepare(all).all({ app, limit, ...place }) as Row[]
  }

  const browse = client.transaction((query: ConnectionQuery): ConnectionPage => {
    const filtered = filter(query)
    if (!filtered) return nothing
    const column = COLUMNS[query.sort]
    const hits = query.search === null ? null : search(query.search, filtered, column)
    const rows = (order: Order, place: Place | null, limit: number): Row[] =>
      hits ? among(hits.rows, order, place, limit) : range(filtered, order, place, limit)
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
    const most = query.search === null ? STEP : LOOKED_AT
    const looked = range(filtered, BY_CONNECTION, parsePlace(cursor), most)
    const hits = query.search === null ? looked : match(looked, query.search, filtered)
    const rows = hits.slice(0, STEP)
    // Behind the last that is given, where more were found; else behind all that were looked at.
    const end =
      hits.length > STEP ? rows.at(-1) : looked.length === most ? looked.at(-1) : undefined
    return { rows: rowsOf(rows.map(({ n }) => n)), next: end ? writePlace(end, false) : null }
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
  }
}

interface Order {
  column: string
  direction: 'asc' | 'desc'
  comparison: '<' | '>'
}

const BY_CONNECTION: Order = { column: COLUMNS.connected, direction: 'asc', comparison: '>' }

/** Rows that were searched for, behind or before a place. */
function among(found: Row[], { direction }: Order, place: Place | null, limit: number): Row[] {
  const sign = direction === 'asc' ? 1 : -1
  return found
    .filter((row) => place === null || sign * compare(row, place) > 0)
    .sort((one, other) => sign * compare(one, other))
    .slice(0, limit)
}

const compare = (one: Row, other: Row): number =>
  one.key === other.key ? one.n - other.n : one.key < other.key ? -1 : 1

const nothing: ConnectionPage = {
  ...{ rows: [], previous: null, next: null },
  ...{ total: 0, crowded: false, partial: false },
}

/** One more row than asked for tells whether there is a page behind it. */
function pageOf(
  {
    sort,
    descending,
    cursor,
    limit,
  }: Pick<ConnectionQuery, 'sort' | 'descending' | 'cursor' | 'limit'>,
  read: (order: Order, place: Place | null, limit: number) => Row[],
): { rows: Row[]; previous: string | null; next: string | null } {
  const column = COLUMNS[sort]
  const place = parsePlace(cursor)
  const back = place?.back === true
  const down = descending !== back
  const order: Order = down
    ? { column, direction: 'desc', comparison: '<' }
    : { column, direction: 'asc', comparison: '>' }
  const found = read(order, place, limit + 1)
  // Nothing is before: what was the first page is it no more.
  if (back && found.length === 0) return pageOf({ sort, descending, cursor: null, limit }, read)
  const more = found.length > limit
  const rows = back ? found.slice(0, limit).reverse() : found.slice(0, limit)
  // Behind the last row: the page before ends with that row itself.
  const end = place && { ...place, n: place.n + (descending ? -1 : 1) }
  const [first = end, last] = [rows[0], rows.at(-1)]
  return {
    rows,
    previous: first && (back ? more : place !== null) ? writePlace(first, true) : null,
    next: last && (back || more) ? writePlace(last, false) : null,
  }
}

const writePlace = ({ key, n }: Row, back: boolean): string => encodeCursor(back, n, key)

function parsePlace(cursor: string | null): Place | null {
  const decoded = decodeCursor(cursor)
  return decoded && { back: decoded.isBackward, n: decoded.first, key: decoded.second }
}
