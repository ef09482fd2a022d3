import type {
  Connection,
  ConnectionPage,
  ConnectionQuery,
  ConnectionStatus,
  Event,
  Grant,
  ListedConnection,
  ListedLink,
  Millis,
  NewEvent,
  Store,
} from '../../db/store.ts'
import { StoreUnavailableError } from '../../db/errors.ts'
import { BrokerError } from '../errors.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock } from '../runtime.ts'
import type { AccessToken } from '../refresh/access-token.ts'
import type { DriveCache } from '../drive/cache.ts'
import type { Log } from '../log.ts'
import type { Refresher } from '../refresh/refresher.ts'

/** Which connections; an omitted field matches all. */
type ConnectionFilter = Partial<Pick<ConnectionQuery, 'search' | 'statuses' | 'appId'>>

/** Reading and managing connections, for admins. */
export interface Connections {
  /** One page of a listing, sorted and filtered. */
  browse(query: ConnectionQuery): Promise<ConnectionPage>
  /** Number of connections by status. */
  count(): Promise<Record<ConnectionStatus, number>>
  /**
   * All that match, oldest first, read in small batches: for exports and bulk work. A search finds the same
   * connections as `browse`, without its limits.
   */
  all(filter?: ConnectionFilter): AsyncGenerator<ListedConnection, void>
  /** A connection with its grants and latest events. @throws BrokerError `invalid_request` if it doesn't exist */
  show(id: string): Promise<ConnectionDetails>
  /** The same, or `undefined` if it doesn't exist. @param cursor of a page of its events; `null`: the latest */
  find(id: string, cursor?: string | null): Promise<ConnectionDetails | undefined>
  /** Refreshes now, even if retries are paused after failures. @throws BrokerError */
  refresh(id: string, actor: Actor): Promise<AccessToken>
  /**
   * Revokes a connection and deletes its tokens; in effect when this returns.
   * @throws BrokerError `invalid_request` if it doesn't exist
   */
  revoke(id: string, actor: Actor): Promise<RevocationResult>
  /** Revokes one app's grants on a connection. @throws BrokerError `invalid_request` if it doesn't exist */
  revokeApp(id: string, appId: string, actor: Actor): Promise<{ grants: number }>
  /** Revokes a device: this grant, and the others of its app in the same browser. `false`: nothing to revoke. */
  revokeGrant(id: string, actor: Actor): Promise<boolean>
  /**
   * Revokes a connection and erases the person: name, account, devices and network addresses. The connection's
   * id and its events stay.
   * @throws BrokerError `invalid_request` if it doesn't exist
   */
  erase(id: string, actor: Actor): Promise<RevocationResult>
}

/** A connection with its grants, their links and a page of its events. */
interface ConnectionDetails {
  connection: Connection
  grants: Grant[]
  /** Those that have not expired, the newest first. */
  links: ListedLink[]
  /** One page, newest first. */
  events: Event[]
  /** Cursors of the adjacent pages of events; `null`: no such page. */
  newer: string | null
  older: string | null
}

/** The result of a revocation. */
export interface RevocationResult {
  /** Number of grants that were revoked. */
  grants: number
  /** The tokens' bytes are erased. `false`: a reader of the database delays it; it is retried every few seconds. */
  erased: boolean
  /** When the last issued access token expires; `null`: none is valid. */
  tokensUntil: Millis | null
}

/** How long to wait for readers that delay the erasure, before it is left pending. */
const ERASE_TIMEOUT_MS = 2000
const ERASE_RETRY_INTERVAL_MS = 50
const EVENT_PAGE_SIZE = 50

export const CONNECTION_STATUSES: Connection['status'][] = ['active', 'needs_reconnect', 'revoked']

/** When the last issued access token expires; `null`: none is valid. */
export const tokensUntil = (
  { accessTokenExpiresAt: expiresAt }: Pick<Connection, 'accessTokenExpiresAt'>,
  now: Millis,
): Millis | null => (expiresAt !== null && expiresAt > now ? expiresAt : null)

export function createConnections(dependencies: {
  store: Store
  refresher: Refresher
  driveCache: Pick<DriveCache, 'forget'>
  clock: Clock
  log: Log
}): Connections {
  const { store, refresher, driveCache, clock, log } = dependencies

  const get = async (id: string): Promise<Connection> => {
    const connection = await store.getConnection(id)
    if (connection) return connection
    throw new BrokerError('invalid_request', { description: `There is no connection ${id}.` })
  }

  /** Erases the tokens of a revoked connection. `false`: still pending; the sweeper retries it. */
  const purge = async (connectionId: string): Promise<boolean> => {
    try {
      for (let waitedMs = 0; waitedMs < ERASE_TIMEOUT_MS; waitedMs += ERASE_RETRY_INTERVAL_MS) {
        if ((await store.purge({ now: clock.now(), limit: 1, connectionId })) === 'done')
          return true
        await clock.sleep(ERASE_RETRY_INTERVAL_MS)
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error
    }
    return false
  }

  const countActiveGrants = async (connectionId: string): Promise<number> =>
    (await store.listGrants(connectionId)).filter((grant) => grant.revokedAt === null).length

  /** Revokes a connection with `revoke`, which gets the details for the event. */
  const revokeAndPurge = async (
    id: string,
    revoke: (now: Millis, details: string | null) => Promise<boolean>,
  ): Promise<RevocationResult> => {
    const connection = await get(id)
    const grants = await countActiveGrants(id)
    const now = clock.now()
    const until = tokensUntil(connection, now)
    const details =
      until === null
        ? null
        : `access tokens already issued expire by ${new Date(until).toISOString()}`
    const revoked = await revoke(now, details)
    await driveCache.forget(id).catch((error: unknown) => {
      log.error({ err: error, connection: id }, 'the cache of a revoked connection was not emptied')
    })
    return { grants: revoked ? grants : 0, erased: await purge(id), tokensUntil: until }
  }

  const addDetails = async (
    connection: Connection,
    cursor: string | null = null,
  ): Promise<ConnectionDetails> => {
    const connectionId = connection.id
    const [grants, links, { rows, newer, older }] = await Promise.all([
      store.listGrants(connectionId),
      store.listLinks({ connectionId, now: clock.now() }),
      store.listEvents({ filter: { connectionId }, cursor, limit: EVENT_PAGE_SIZE }),
    ])
    return { connection, grants, links, events: rows, newer, older }
  }

  return {
    browse: (query) => store.browseConnections(query),
    count: () => store.countConnections(),

    async *all({ search = null, statuses = CONNECTION_STATUSES, appId = null } = {}) {
      let cursor: string | null = null
      do {
        const { rows, next } = await store.walkConnections({ search, statuses, appId }, cursor)
        yield* rows
        cursor = next
      } while (cursor !== null)
    },

    show: async (id) => addDetails(await get(id)),

    async find(id, cursor = null) {
      const connection = await store.getConnection(id)
      return connection && addDetails(connection, cursor)
    },

    async refresh(id, actor) {
      await get(id)
      const requirement = {
        minTtlSeconds: 0,
        fetchedAfter: clock.now(),
        evenIfPaused: true,
        appId: null,
      }
      const recordEvent = (details: string) =>
        store.addEvents([
          event(actor, 'connection.refresh_asked', clock.now(), { connectionId: id, details }),
        ])
      try {
        const token = await refresher.get(id, requirement)
        await recordEvent('a fresh access token was fetched')
        return token
      } catch (error) {
        if (error instanceof BrokerError) await recordEvent(`it failed: ${error.code}`)
        throw error
      }
    },

    revoke: (id, actor) =>
      revokeAndPurge(id, (now, details) => {
        const events = [event(actor, 'connection.revoked', now, { connectionId: id, details })]
        return store.revokeConnection({ id, now, events })
      }),

    async revokeApp(id, appId, actor) {
      await get(id)
      const now = clock.now()
      const events = [event(actor, 'app.grants_revoked', now, { connectionId: id, appId })]
      const grants = await store.revokeGrants({ connectionId: id, appId, now, events })
      return { grants }
    },

    async revokeGrant(id, actor) {
      const grant = await store.getGrant(id)
      if (!grant) return false
      const { connectionId, appId } = grant
      const now = clock.now()
      const events = [event(actor, 'grant.revoked', now, { grantId: id, connectionId, appId })]
      return (await store.revokeGrants({ id, device: true, now, events })) > 0
    },

    erase: (id, actor) =>
      revokeAndPurge(id, (now, details) => {
        const events = [event(actor, 'connection.erased', now, { connectionId: id, details })]
        return store.revokeConnection({ id, now, erasePerson: true, events })
      }),
  }
}

const event = (actor: Actor, action: string, at: Millis, fields: Partial<NewEvent>): NewEvent => ({
  ...fields,
  ...actorFields(actor),
  action,
  at,
})
