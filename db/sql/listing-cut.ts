import { LRUCache } from 'lru-cache'
import type { ListedConnection } from '../store.ts'
import type { SqlClient } from './engine.ts'

/** The place of a row in a list: what it is sorted by, and its number in `listing`. */
export interface Place {
  key: string | number
  n: number
}

/** The part of a list that is read. */
export interface Cut {
  /** Of `listing`: what the list is sorted by. */
  column: string
  direction: 'asc' | 'desc'
  /** In this direction; `null`: from the first row. */
  after: Place | null
  limit: number
}

/** The rows of a list. */
export interface Source {
  /** Common table expressions. The last one is `hits`, with the columns of `Place`. */
  tables: string
  /** Numbers about all rows, as the columns of `Summary`. */
  summary: string
  values: object
}

interface Summary {
  /** How many rows there are. */
  total: number
  /** By names; stops at one more than are listed. */
  found: number
  /** 1: there may be more. */
  more: number
}

export interface Page extends Summary {
  rows: Row[]
}

/** A row, and what a list shows of its connection. */
export interface Row extends Place {
  connection: ListedConnection
}

/** Only the summary if the page is empty, or if the connection was deleted since its place was read. */
type Found = Summary &
  Place &
  Omit<ListedConnection, 'id' | 'apps'> & { id: string | null; apps: string | null }

const CONNECTION = `
  connections.id as id, account_id as accountId, username, status, access_token_expires_at as accessTokenExpiresAt,
  failures, last_error as lastError, retry_at as retryAt, connected_at as connectedAt, refreshed_at as refreshedAt,
  last_used_at as lastUsedAt, revoked_at as revokedAt, erased_at as erasedAt, person_erased_at as personErasedAt`

/** A line for each app with a grant that is not revoked. */
const APPS = `
  select string_agg(ends_at || ' ' || app_id, '\n') from (
    select app_id, max(expires_at_seconds) * 1000 as ends_at from grants
    where connection_id = connections.id and revoked_at is null group by app_id order by app_id) as own`

/** The condition for rows of a cut. */
export const isAfter = ({ direction, after }: Cut, key: string): string =>
  after ? `(${key}, n) ${direction === 'asc' ? '>' : '<'} (@afterKey, @afterN)` : 'true'

const valuesOf = ({ values }: Source, { after }: Cut): object =>
  after ? { ...values, afterKey: after.key, afterN: after.n } : values

const placesOf = ({ tables }: Source, cut: Cut): string => `
  with ${tables} select n, key from hits where ${isAfter(cut, 'key')}
  order by key ${cut.direction}, n ${cut.direction} limit ${cut.limit}`

/** Filters, sort columns and kinds of search each have a text of their own; SQLite compiles it for half a millisecond. */
const MAX_STATEMENTS = 200

/** Prepares the reading of cuts. */
export function prepareCuts(client: SqlClient) {
  const statements = new LRUCache<string, ReturnType<SqlClient['prepare']>>({ max: MAX_STATEMENTS })

  const readAll = (query: string, values: object): unknown[] => {
    const statement = statements.get(query) ?? client.prepare(query)
    statements.set(query, statement)
    return statement.all(values)
  }

  const readPlaces = (source: Source, cut: Cut): Place[] =>
    readAll(placesOf(source, cut), valuesOf(source, cut)) as Place[]

  /** One statement, because each is a round trip on PostgreSQL. A page without rows has its summary all the same. */
  const readPage = (source: Source, cut: Cut): Page => {
    const order = `order by page.key ${cut.direction}, page.n ${cut.direction}`
    const query = `
      with ${source.tables}, page as (select n, key from hits as page where ${isAfter(cut, 'key')} ${order} limit ${cut.limit})
      select summary.*, page.n as n, page.key as key, (${APPS}) as apps, ${CONNECTION}
      from (select ${source.summary}) as summary left join page on true
        left join listing_names on listing_names.n = page.n left join connections on connections.id = connection_id
      ${order}`
    const found = readAll(query, valuesOf(source, cut)) as Found[]
    const { total = 0, found: count = 0, more = 0 } = found[0] ?? {}
    return { total, found: count, more, rows: found.flatMap(rowsOf) }
  }

  /** The connections at these places, in their order. */
  const readRows = (places: Place[]): ListedConnection[] => {
    const source = {
      tables: 'hits as (select cast(value as bigint) as n, key from json_each(@numbers))',
      summary: '0 as total, 0 as found, 0 as more',
      values: { numbers: JSON.stringify(places.map(({ n }) => n)) },
    }
    const limit = Number.MAX_SAFE_INTEGER
    const cut: Cut = { column: 'key', direction: 'asc', after: null, limit }
    return readPage(source, cut).rows.map(({ connection }) => connection)
  }

  return { readPlaces, readRows, readPage }
}

function rowsOf({ total, found, more, n, key, id, apps, ...connection }: Found): Row[] {
  if (id === null) return []
  const listed = (apps?.split('\n') ?? []).map((line) => {
    const space = line.indexOf(' ')
    return { id: line.slice(space + 1), endsAt: Number(line.slice(0, space)) }
  })
  return [{ n, key, connection: { id, ...connection, apps: listed } }]
}
