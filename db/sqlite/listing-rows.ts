import type Database from 'better-sqlite3'
import type { ListedConnection } from '../store.ts'

/** The rows of `listing` that a query's filters leave: see db/migrations/sqlite/0002_listing.sql. */
export interface Filtered {
  /** 0: everybody. */
  app: number
  statuses: number[]
  /** How many there are. */
  total: number
}

/** A row of `listing`, by its number, and what it is sorted by. */
export interface Row {
  n: number
  key: string | number
}

const ROWS = `
  select
    connections.id as id, account_id as accountId, username, status, access_token_expires_at as accessTokenExpiresAt,
    failures, last_error as lastError, retry_at as retryAt, connected_at as connectedAt,
    refreshed_at as refreshedAt, last_used_at as lastUsedAt, revoked_at as revokedAt,
    erased_at as erasedAt, person_erased_at as personErasedAt
  from json_each(?) as wanted cross join listing_names on n = wanted.value
    cross join connections on connections.id = connection_id
  order by wanted.key`

const APPS = `
  select connection_id as connectionId, app_id as id, max(expires_at_seconds) * 1000 as endsAt
  from json_each(?) cross join grants on connection_id = value
  where revoked_at is null group by connection_id, app_id`

/** Prepares the read of what a page shows, by numbers of `listing_names` and in their order. */
export function prepareListedRows(
  client: Database.Database,
): (numbers: number[]) => ListedConnection[] {
  type Row = Omit<ListedConnection, 'apps'>
  type App = ListedConnection['apps'][number] & { connectionId: string }
  const findRows = client.prepare<[string], Row>(ROWS)
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
