import type { Connection, Event, Grant, Page, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from './clock.ts'
import type { AccessToken } from './refresh-attempt.ts'
import type { Refresher } from './refresh.ts'

/** What admins see of connections, and do to them. */
export interface Connections {
  list(filter: Page & { status?: Connection['status']; appId?: string }): Promise<Connection[]>
  /** One with its grants and its latest events. @throws BrokerError `invalid_request` if there is none */
  show(id: string): Promise<{ connection: Connection; grants: Grant[]; events: Event[] }>
  /** Refreshes now, also one that is left alone after failures. @throws BrokerError */
  refresh(id: string): Promise<AccessToken>
  /**
   * Revokes a connection and deletes its tokens; it holds from its return on. Answers how many grants
   * ended, and whether the bytes are gone already. @throws BrokerError `invalid_request` if there is none
   */
  revoke(id: string, actor: string): Promise<{ grants: number; erased: boolean }>
  /** Revokes one app's grants on a connection. @throws BrokerError `invalid_request` if there is none */
  revokeApp(id: string, appId: string, actor: string): Promise<{ grants: number }>
  /** Revokes one device. `false`: there is none, or it was revoked before. */
  revokeGrant(id: string, actor: string): Promise<boolean>
}

/** Something that holds the log is waited for this long, in milliseconds, before erasure is left pending. */
const ERASE_WITHIN = 2000
const EVENTS = 50

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

  const erase = async (): Promise<boolean> => {
    for (let waited = 0; waited < ERASE_WITHIN; waited += 50) {
      if (await store.purge(clock.now())) return true
      await clock.sleep(50)
    }
    return false
  }

  const liveGrants = async (connectionId: string): Promise<Grant[]> =>
    (await store.listGrants({ connectionId })).filter((grant) => grant.revokedAt === null)

  return {
    list: (filter) => store.listConnections(filter),

    async show(id) {
      const connection = await get(id)
      const grants = await store.listGrants({ connectionId: id })
      const events = await store.listEvents({ connectionId: id, limit: EVENTS })
      return { connection, grants, events }
    },

    async refresh(id) {
      await get(id)
      return refresher.get(id, {
        minTtlSeconds: 0,
        since: clock.now(),
        evenIfPaused: true,
        appId: null,
      })
    },

    async revoke(id, actor) {
      await get(id)
      const ending = (await liveGrants(id)).length
      const now = clock.now()
      const event = { at: now, actor, action: 'connection.revoked', connectionId: id }
      const revoked = await store.revokeConnection({ id, now, events: [event] })
      return { grants: revoked ? ending : 0, erased: await erase() }
    },

    async revokeApp(id, appId, actor) {
      await get(id)
      const now = clock.now()
      const event = { at: now, actor, action: 'app.grants_revoked', connectionId: id, appId }
      const grants = await store.revokeAppGrants({ connectionId: id, appId, now, events: [event] })
      return { grants }
    },

    async revokeGrant(id, actor) {
      const grant = await store.getGrant(id)
      if (!grant) return false
      const { connectionId, appId } = grant
      const now = clock.now()
      const event = { at: now, actor, action: 'grant.revoked', grantId: id, connectionId, appId }
      return store.revokeGrant({ id, now, events: [event] })
    },
  }
}
