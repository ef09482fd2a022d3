import type {
  ConnectionFilter,
  ConnectionPage,
  ConnectionQuery,
  ConnectionSort,
  ConnectionStatus,
  Store,
} from '../store.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Engine } from './engine.ts'
import { isAfter, prepareCuts, type Cut, type Place, type Source } from './listing-cut.ts'
import { prepareSearch, type Filtered, type Hits } from './listing-search.ts'

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
interface Position extends Place {
  back: boolean
}

/** The list of connections: filtered, sorted, searched. Triggers keep the table `listing` up to date. */
export function listingMethods(engine: Engine): Pick<Store, Methods> {
  const { client, read } = engine
  const findApp = client.prepare('select n from listing_apps where app_id = ?').pluck()
  const countByStatus = client.prepare<[number], { status: number; rows: number }>(
    'select status, sum(rows) as rows from listing_totals where app = ? group by status',
  )
  const countByApp = client.prepare(
    `select app_id as appId, status, sum(rows) as rows from listing_apps cross join listing_totals on app = n
     group by app_id, status`,
  )
  const { readPlaces, readRows, readPage } = prepareCuts(client)

  const appNumber = (appId: string | null): number | undefined =>
    appId === null ? 0 : (findApp.get(appId) as number | undefined)

  /** The number of rows of each status. */
  const count = (app: number): number[] => {
    const totals = countByStatus.all(app)
    return STATUSES.map((_name, n) => totals.find(({ status }) => status === n)?.rows ?? 0)
  }

  const countRows = ({ app, statuses }: Filtered): number => {
    const counts = count(app)
    return statuses.reduce((sum, status) => sum + (counts[status] ?? 0), 0)
  }

  const { search, match } = prepareSearch(engine, readPage, countRows)

  /** `undefined`: nothing matches. */
  const filter = (query: ConnectionFilter): Filtered | undefined => {
    const app = appNumber(query.appId)
    const statuses = STATUSES.flatMap((name, n) => (query.statuses.includes(name) ? [n] : []))
    return app === undefined || statuses.length === 0 ? undefined : { app, statuses }
  }

  /** Rows after or before a position: a range of one index for each status, merged. */
  const range = ({ app, statuses }: Filtered, cut: Cut): Source => {
    const { column, direction, limit } = cut
    const parts = statuses.map(
      (status) => `select * from (
        select n, ${column} as key from listing where app = @app and status = ${status} and ${isAfter(cut, column)}
        order by ${column} ${direction}, n ${direction} limit ${limit}) as rows${status}`,
    )
    return {
      tables: `hits as (${parts.join(' union all ')})`,
      summary: `(select coalesce(sum(rows), 0) from listing_totals
        where app = @app and status in (${statuses.join()})) as total, 0 as found, 0 as more`,
      values: { app },
    }
  }

  const browse = client.transaction((query: ConnectionQuery): ConnectionPage => {
    const filtered = filter(query)
    if (!filtered) return emptyPage
    const { search: text } = query
    return pageOf(query, (cut) => {
      if (text !== null) return search(text, filtered, cut)
      const { rows, total } = readPage(range(filtered, cut), cut)
      return { rows, total, crowded: false, partial: false }
    })
  })

  const walk = client.transaction((query: ConnectionFilter, cursor: string | null) => {
    const filtered = filter(query)
    if (!filtered) return { rows: [], next: null }
    const most = query.search === null ? STEP_ROWS : SEARCHED_ROWS
    const after = parseCursor(cursor, COLUMNS.connected)
    const cut: Cut = { column: COLUMNS.connected, direction: 'asc', after, limit: most }
    const searched = readPlaces(range(filtered, cut), cut)
    const hits = query.search === null ? searched : match(searched, query.search, filtered)
    const rows = hits.slice(0, STEP_ROWS)
    // After the last row returned, if more match; otherwise after all rows that were searched.
    const end =
      hits.length > STEP_ROWS ? rows.at(-1) : searched.length === most ? searched.at(-1) : undefined
    return { rows: readRows(rows), next: end ? toCursor(end, false) : null }
  })

  return {
    browseConnections: (query) => read(() => browse(query)),
    walkConnections: (filter, cursor) => read(() => walk(filter, cursor)),

    countConnections: (appId = null) =>
      read(() => {
        const app = appNumber(appId)
        const [active = 0, needs_reconnect = 0, revoked = 0] = app === undefined ? [] : count(app)
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

const emptyPage: ConnectionPage = {
  ...{ rows: [], previous: null, next: null },
  ...{ total: 0, crowded: false, partial: false },
}

/** Reads one row more than asked for, which tells whether there is another page. */
function pageOf(
  query: Pick<ConnectionQuery, 'sort' | 'descending' | 'cursor' | 'limit'>,
  read: (cut: Cut) => Hits,
): ConnectionPage {
  const { sort, descending, cursor, limit } = query
  const column = COLUMNS[sort]
  const position = parseCursor(cursor, column)
  const back = position?.back === true
  const direction = descending === back ? 'asc' : 'desc'
  const { rows: found, ...hits } = read({ column, direction, after: position, limit: limit + 1 })
  // The cursor points before the first row; restart from the first page.
  if (back && found.length === 0) return pageOf({ ...query, cursor: null }, read)
  const more = found.length > limit
  const rows = back ? found.slice(0, limit).reverse() : found.slice(0, limit)
  // The cursor points after the last row; the previous page ends with that row.
  const end = position && { ...position, n: position.n + (descending ? -1 : 1) }
  const [first = end, last] = [rows[0], rows.at(-1)]
  return {
    ...hits,
    rows: rows.map(({ connection }) => connection),
    previous: first && (back ? more : position !== null) ? toCursor(first, true) : null,
    next: last && (back || more) ? toCursor(last, false) : null,
  }
}

const toCursor = ({ key, n }: Place, back: boolean): string => encodeCursor(back, n, key)

/** `null`, too, if the cursor is of a list that is sorted by another column. */
function parseCursor(cursor: string | null, column: string): Position | null {
  const decoded = decodeCursor(cursor)
  if (!decoded || (typeof decoded.second === 'string') !== (column === COLUMNS.user)) return null
  return { back: decoded.isBackward, n: decoded.first, key: decoded.second }
}
