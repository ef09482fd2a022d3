import type {
  Connection,
  ConnectionPage,
  ConnectionQuery,
  ConnectionStatus,
  Event,
  Grant,
  ListedConnection,
  Millis,
  Store,
} from '../../db/store.ts'
import { StoreUnavailableError } from '../../db/errors.ts'
import { BrokerError } from '../errors.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock } from '../runtime.ts'
import type { AccessToken } from '../refresh/access-token.ts'
import type { Refresher } from '../refresh/refresher.ts'

/** Which connections; what is left out doesn't narrow. */
export type ConnectionFilter = Partial<Pick<ConnectionQuery, 'search' | 'statuses' | 'appId'>>

/** What admins see of connections, and do to them. */
export interface Connections {
  /** A page of those that match, as people look through them. */
  browse(query: ConnectionQuery): Promise<ConnectionPage>
  /** How many there are, by status. */
  count(): Promise<Record<ConnectionStatus, number>>
  /**
   * All that match, oldest first, in batches that hold nothing up: for exports and for what is done to
   * many. A search finds here what `browse` finds by name, however many they are.
   */
  all(filter?: ConnectionFilter): AsyncGenerator<ListedConnection, void>
  /** One with its grants and its latest events. @throws BrokerError `invalid_request` if there is none */
  show(id: string): Promise<ShownConnection>
  /** The same; `undefined`: there is none. `cursor`: of another page of its events. */
  find(id: string, cursor?: string | null): Promise<ShownConnection | undefined>
  /** Refreshes now, also one that is left alone after failures. @throws BrokerError */
  refresh(id: string, by: Actor): Promise<AccessToken>
  /**
   * Revokes a connection and deletes its tokens; it holds from its return on.
   * @throws BrokerError `invalid_request` if there is none
   */
  revoke(id: string, by: Actor): Promise<Revoked>
  /** Revokes one app's grants on a connection. @throws BrokerError `invalid_request` if there is none */
  revokeApp(id: string, appId: string, by: Actor): Promise<{ grants: number }>
  /** Revokes one device. `false`: there is none, or it was revoked before. */
  revokeGrant(id: string, by: Actor): Promise<boolean>
  /**
   * Revokes a connection, and forgets whose it was: name, account, devices and the addresses that its user
   * came from. That there was a connection, and what was done to it, stays.
   * @throws BrokerError `invalid_request` if there is none
   */
  erase(id: string, by: Actor): Promise<Revoked>
}

/** A connection with what belongs to it. */
export interface ShownConnection {
  connection: Connection
  grants: Grant[]
  /** Newest first, and not all. */
  events: Event[]
  /** Cursors of the pages of events beside it; `null`: there is none. */
  newer: string | null
  older: string | null
}

/** What a revocation did. */
export interface Revoked {
  /** Grants that ended. */
  grants: number
  /** Are the bytes gone already? Otherwise something reads the database; it is tried every few seconds. */
  erased: boolean
  /** When the access tokens that are out end at the latest; `null`: none is. */
  tokensUntil: Millis | null
}

/** Something that holds the log is waited for this long, in milliseconds, before erasure is left pending. */
const ERASE_WITHIN = 2000
const EVENTS = 50

export const STATUSES: Connection['status'][] = ['active', 'needs_reconnect', 'revoked']

/** Until when access tokens that were handed out may work; `null`: none is out. */
export const tokensUntil = (
  { accessTokenExpiresAt: end }: Pick<Connection, 'accessTokenExpiresAt'>,
  now: Millis,
): Millis | null => (end !== null && end > now ? end : null)

export function createConnections(needs: {
  store: Store
  refresher: Refresher
  clock: Clock
}): Connections {
  const { store, refresher, clock } = needs

  const get = async (id: string): Promise<Connection> => {
    const connection = await store.getConnection(id)
    if (connection) return connection
    throw new BrokerError('invalid_request', { description: `There is no connection ${id}.` })
  }

  /** Of the one that was revoked: others that wait are the sweeper's. What can't be done now is pending. */
  const purge = async (connectionId: string): Promise<boolean> => {
    try {
      for (let waited = 0; waited < ERASE_WITHIN; waited += 50) {
        if ((await store.purge({ now: clock.now(), limit: 1, connectionId })) === 'done')
          return true
        await clock.sleep(50)
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error
    }
    return false
  }

  const countLive = async (connectionId: string): Promise<number> =>
    (await store.listGrants(connectionId)).filter((grant) => grant.revokedAt === null).length

  /** Ends a connection by `end`, which is given the event that tells of it. */
  const cutOff = async (
    id: string,
    end: (now: Millis, details: string | null) => Promise<boolean>,
  ): Promise<Revoked> => {
    const connection = await get(id)
    const ending = await countLive(id)
    const now = clock.now()
    const until = tokensUntil(connection, now)
    const details =
      until === null ? null : `access tokens already out end by ${new Date(until).toISOString()}`
    const ended = await end(now, details)
    return { grants: ended ? ending : 0, erased: await purge(id), tokensUntil: until }
  }

  const withParts = async (
    connection: Connection,
    cursor: string | null = null,
  ): Promise<ShownConnection> => {
    const connectionId = connection.id
    const grants = await store.listGrants(connectionId)
    const filter = { connectionId }
    const { rows, newer, older } = await store.listEvents({ filter, cursor, limit: EVENTS })
    return { connection, grants, events: rows, newer, older }
  }

  return {
    browse: (query) => store.browseConnections(query),
    count: () => store.countConnections(),

    async *all({ search = null, statuses = STATUSES, appId = null } = {}) {
      let cursor: string | null = null
      do {
        const { rows, next } = await store.walkConnections({ search, statuses, appId }, cursor)
        yield* rows
        cursor = next
      } while (cursor !== null)
    },

    show: async (id) => withParts(await get(id)),

    async find(id, cursor = null) {
      const connection = await store.getConnection(id)
      return connection && withParts(connection, cursor)
    },

    async refresh(id, by) {
      await get(id)
      const requirement = {
        minTtlSeconds: 0,
        fetchedAfter: clock.now(),
        evenIfPaused: true,
        appId: null,
      }
      const tell = (details: string) => {
        const event = { ...actorFields(by), at: clock.now(), action: 'connection.refresh_asked' }
        return store.addEvents([{ ...event, connectionId: id, details }])
      }
      try {
        const token = await refresher.get(id, requirement)
        await tell('a fresh access token was fetched')
        return token
      } catch (error) {
        if (error instanceof BrokerError) await tell(`it failed: ${error.code}`)
        throw error
      }
    },

    revoke: (id, by) =>
      cutOff(id, (now, details) => {
        const event = {
          ...actorFields(by),
          at: now,
          action: 'connection.revoked',
          connectionId: id,
        }
        return store.revokeConnection({ id, now, events: [{ ...event, details }] })
      }),

    async revokeApp(id, appId, by) {
      await get(id)
      const now = clock.now()
      const event = {
        ...actorFields(by),
        at: now,
        action: 'app.grants_revoked',
        connectionId: id,
        appId,
      }
      const grants = await store.revokeGrants({ connectionId: id, appId, now, events: [event] })
      return { grants }
    },

    async revokeGrant(id, by) {
      const grant = await store.getGrant(id)
      if (!grant) return false
      const { connectionId, appId } = grant
      const now = clock.now()
      const event = { ...actorFields(by), at: now, action: 'grant.revoked', grantId: id }
      const events = [{ ...event, connectionId, appId }]
      return (await store.revokeGrants({ id, now, events })) > 0
    },

    erase: (id, by) =>
      cutOff(id, (now, details) => {
        const event = { ...actorFields(by), at: now, action: 'connection.erased', connectionId: id }
        const events = [{ ...event, details }]
        return store.revokeConnection({ id, now, erasePerson: true, events })
      }),
  }
}
