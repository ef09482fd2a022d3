/** Connections; see db/store.ts. */
import type {
  App,
  Code,
  Connection,
  ConnectionStatus,
  Millis,
  NewEvent,
  NewTokens,
} from '../model.ts'

/** What connections may be sorted by. */
export type ConnectionSort = 'user' | 'connected' | 'used' | 'expiry'

/** Which connections, in which order, and which page. */
export interface ConnectionQuery {
  /**
   * Part of the name, ignoring case, accents and apostrophes: see db/fold.ts. Or the whole id of a connection, an account or a grant, or an app's own id of the user. `null`: everybody.
   */
  search: string | null
  /** Any of these. */
  statuses: ConnectionStatus[]
  /** Only connections with an unrevoked grant of this app; `null`: all. */
  appId: string | null
  sort: ConnectionSort
  descending: boolean
  /** `next` or `previous` of another page; `null` or invalid: the first page. */
  cursor: string | null
  limit: number
}

/** A connection in a list. */
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
  /** The apps with unrevoked grants, by id, and when the last of these expires. */
  apps: { id: App['id']; endsAt: Millis }[]
}

/** A page of a list. Rows that change between two pages never cause a gap. */
export interface ConnectionPage {
  rows: ListedConnection[]
  previous: string | null
  next: string | null
  /** Rows of all pages. */
  total: number
  /** More match the search than `total`: the pages show some of them. */
  crowded: boolean
  /** The search was too broad to finish: `total` match, and there may be more. */
  partial: boolean
}

/** Which connections. */
export type ConnectionFilter = Pick<ConnectionQuery, 'search' | 'statuses' | 'appId'>

export interface ConnectionStore {
  getConnection(id: string): Promise<Connection | undefined>
  /** The usernames of those of these connections that exist, by connection id. */
  getUsernames(ids: string[]): Promise<Map<string, string>>
  /** The unrevoked connection of that account. */
  findConnection(accountId: string): Promise<Connection | undefined>
  /** All connections of that account: the unrevoked one, then the revoked ones, the newest first. */
  listConnectionsOfAccount(accountId: string): Promise<Connection[]>
  /** A page of the connections that match, for people to look through. */
  browseConnections(query: ConnectionQuery): Promise<ConnectionPage>
  /**
   * Some of all connections that match, oldest first; short enough for the event loop. The search is complete,
   * unlike that of `browseConnections`.
   * @param cursor `next` of the call before; `null`: the first call
   * @returns maybe no rows although there are more: only `next` `null` is the end
   */
  walkConnections(
    filter: ConnectionFilter,
    cursor: string | null,
  ): Promise<{ rows: ListedConnection[]; next: string | null }>
  /** How many there are by status; `appId`: only those with an unrevoked grant of that app. */
  countConnections(appId?: string | null): Promise<Record<ConnectionStatus, number>>
  /** The same for each app that has or had any, by app id. */
  countConnectionsByApp(): Promise<Map<App['id'], Record<ConnectionStatus, number>>>
  /**
   * Stores the tokens of a completed authorization, and the code that the app will redeem.
   * `expectedGeneration` `null` adds a connection, of generation 1. A number renews the connection with that
   * id: status `active`, failures reset, generation incremented, previous refresh token dropped, lease
   * released; an account id or username that it had stays if upstream tells none now.
   * `tokens` `null`: those of an active connection stay, with its generation and lease.
   * `false`: another writer came first (the generation changed, it is revoked, or the account has a connection).
   */
  saveConnection(connection: {
    id: string
    expectedGeneration: number | null
    accountId: string | null
    username: string
    tokens: NewTokens | null
    now: Millis
    code: Omit<Code, 'usedAt' | 'grantId'> | null
    /** A new connection of an import, whose token is yet to be refreshed. */
    importState?: 'pending'
    events: NewEvent[]
  }): Promise<boolean>
  /**
   * Revokes the connection: status `revoked`, generation incremented, sealed fields overwritten in place and
   * then dropped, codes deleted, grants revoked, lease released. `false`: the id is unknown, or it was revoked
   * before. The bytes are gone for good once `purge` has completed.
   * @param connection.erasePerson also for a revoked connection: removes account, username, devices and external ids of
   *   its grants, links, the last error, address and details of all its events but those of admins, and searches of
   *   bulk revocations for its name, account or external ids (one that is still collecting is cancelled); the same
   *   for revoked connections of the account. Their erasure is pending again. `false` then: there is no such
   *   connection, or that was done before.
   */
  revokeConnection(connection: {
    id: string
    now: Millis
    erasePerson?: boolean
    /** Why an import ends it. It then appears in no list, search or count. */
    why?: { importState: 'rejected' } | { replacedBy: string }
    events: NewEvent[]
  }): Promise<boolean>

  /**
   * Sets the account of a connection that was stored before it was known. `false`: there is no such unrevoked
   * connection, or another one has the account.
   */
  identifyConnection(connection: {
    id: string
    accountId: string | null
    username: string
  }): Promise<boolean>
  /**
   * Deletes a revoked connection, with its grants and device codes, ahead of the sweep.
   * `false`: its erasure is pending, or the id is unknown.
   */
  removeConnection(id: string): Promise<boolean>
  /**
   * Marks up to `limit` connections after an id (`null`: from the beginning) as `needs_reconnect`, because of
   * `reason`, without a time to retry; leases end. `toOtherApi`: their accounts are others there, so account and tokens are removed and overwritten.
   * Returns the last id; `null`: there are no more.
   */
  markConnectionsForReconnect(batch: {
    after: string | null
    limit: number
    toOtherApi: boolean
    reason: string
  }): Promise<string | null>
}
