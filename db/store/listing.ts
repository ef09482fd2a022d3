import type { App, Connection, ConnectionStatus, Millis } from '../model.ts'

/** What connections may be sorted by. */
export type ConnectionSort = 'user' | 'connected' | 'used' | 'until'

/** Which connections, in which order, and where in it. */
export interface ConnectionQuery {
  /**
   * Letters of the name, without regard to case and accents: one or two that it begins with, or three
   * and more anywhere in it. Or the whole id of a connection, an account or a grant. `null`: everybody.
   */
  search: string | null
  /** In any of these. */
  statuses: ConnectionStatus[]
  /** Only those on which this app has a grant that isn't revoked; `null`: all. */
  appId: string | null
  sort: ConnectionSort
  descending: boolean
  /** `next` or `previous` of another page; `null`, or one that means nothing: the first page. */
  cursor: string | null
  limit: number
}

/** A connection as people look through them. */
export type ListedConnection = Pick<
  Connection,
  | 'id'
  | 'accountId'
  | 'username'
  | 'status'
  | 'accessTokenExpiresAt'
  | 'failures'
  | 'lastError'
  | 'retryAt'
  | 'connectedAt'
  | 'refreshedAt'
  | 'lastUsedAt'
  | 'revokedAt'
  | 'erasedAt'
  | 'personErasedAt'
> & {
  /** The apps that have a grant that isn't revoked, and when the last of these ends. */
  apps: { id: App['id']; endsAt: Millis }[]
}

/** A page of a listing. Rows that change while people look at pages are never the cause of a gap. */
export interface ConnectionPage {
  rows: ListedConnection[]
  previous: string | null
  next: string | null
  /** Rows of all pages. */
  total: number
  /** More match the search than `total`: these are the first that were found. */
  crowded: boolean
  /** Too many have such a name to try them all against the filter: more than `total` may match, or just these. */
  partial: boolean
}

/** Which connections, as a `ConnectionQuery` says it. */
export type ConnectionFilter = Pick<ConnectionQuery, 'search' | 'statuses' | 'appId'>

/** Connections as people look through them; kept by the transactions that change them. */
export interface ListingStore {
  /** A page of those that match. */
  browseConnections(query: ConnectionQuery): Promise<ConnectionPage>
  /**
   * Some of all that match, however many, in the order in which they were connected; quick enough to leave
   * the event loop free. `cursor`: `next` of the call before, or `null`. There may be no rows, and yet more
   * to come: only `next` `null` is the end.
   */
  walkConnections(
    filter: ConnectionFilter,
    cursor: string | null,
  ): Promise<{ rows: ListedConnection[]; next: string | null }>
  /** How many there are; `appId`: on which that app has a grant that isn't revoked. */
  countConnections(appId?: string | null): Promise<Record<ConnectionStatus, number>>
}
