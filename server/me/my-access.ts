import type { App, Connection, Event, Grant, ListedLink, Store } from '../../db/store.ts'
import type { Connections } from '../connections/connections.ts'
import { browserHashOf } from '../connections/devices.ts'
import type { Links } from '../drive/links.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import type { Person } from './sessions.ts'

/** Who asks: the person who is signed in, their browser, and its address. */
export interface Visitor {
  person: Person
  /** The secret of the browser's cookie; `null`: it has none. */
  browser: Secret | null
  address: string
}

/** A connection, with the grants and links on it that belong to the visitor. */
export interface OwnConnection {
  connection: Connection
  grants: Grant[]
  links: ListedLink[]
  events: Event[]
  /** All of it belongs to the visitor. Without an account, other browsers may use the same connection. */
  isWhole: boolean
}

/**
 * What a person connected, for that person: the connections of their account, revoked ones included until they are
 * deleted. A name never decides. Without an account, what was connected in this browser.
 * The methods that change something do it in what `list` returns, and nowhere else. `false`: nothing was left to do.
 */
export interface MyAccess {
  /** @param options.allEvents otherwise the latest ones */
  list(visitor: Visitor, options?: { allEvents: boolean }): Promise<OwnConnection[]>
  listApps(): Promise<App[]>
  disconnectDevice(visitor: Visitor, grantId: string): Promise<boolean>
  disconnectApp(visitor: Visitor, appId: string): Promise<boolean>
  revokeLink(visitor: Visitor, linkId: string): Promise<boolean>
  disconnectAll(visitor: Visitor): Promise<boolean>
  erase(visitor: Visitor): Promise<boolean>
}

const EVENT_PAGE_SIZE = 200

export function createMyAccess(dependencies: {
  store: Store
  connections: Connections
  links: Links
  clock: Clock
}): MyAccess {
  const { store, connections, links, clock } = dependencies

  const findConnections = async ({ accountId, connectionIds }: Person): Promise<Connection[]> => {
    if (accountId !== null) return store.listConnectionsOfAccount(accountId)
    const found = await Promise.all(connectionIds.map((id) => store.getConnection(id)))
    return found.filter(
      (one) => one?.accountId === null && one.status !== 'revoked',
    ) as Connection[]
  }

  const listEvents = async (connectionId: string, all: boolean): Promise<Event[]> => {
    const events: Event[] = []
    let cursor: string | null = null
    do {
      const query = { filter: { connectionId }, cursor, limit: EVENT_PAGE_SIZE }
      const { rows, older } = await store.listEvents(query)
      events.push(...rows)
      cursor = all ? older : null
    } while (cursor !== null)
    return events
  }

  const toOwn = async (
    connection: Connection,
    { person, browser }: Visitor,
    allEvents: boolean,
  ): Promise<OwnConnection> => {
    const { id: connectionId } = connection
    const isOwn = ({ appId, browserHash }: Grant): boolean =>
      person.accountId !== null ||
      (browser !== null && browserHash === browserHashOf(browser, appId, connectionId))
    const all = await store.listGrants(connectionId)
    const grants = all.filter(isOwn)
    const grantIds = new Set(grants.map(({ id }) => id))
    const isWhole = grants.length === all.length
    const allLinks = await store.listLinks({ connectionId, now: clock.now() })
    const events = await listEvents(connectionId, allEvents)
    return {
      connection,
      grants,
      links: allLinks.filter(({ grantId }) => grantIds.has(grantId)),
      events: isWhole ? events : events.filter(({ grantId }) => grantIds.has(grantId ?? '')),
      isWhole,
    }
  }

  const list: MyAccess['list'] = async (visitor, { allEvents } = { allEvents: false }) => {
    const found = await findConnections(visitor.person)
    const own = await Promise.all(found.map((one) => toOwn(one, visitor, allEvents)))
    return own.filter(({ grants, isWhole }) => isWhole || grants.length > 0)
  }

  const byUser = ({ address }: Visitor) => ({ actor: 'user', address })

  const revokeEach = async (grants: Grant[], visitor: Visitor): Promise<boolean> => {
    let isChanged = false
    for (const { id } of grants)
      if (await connections.revokeGrant(id, byUser(visitor))) isChanged = true
    return isChanged
  }

  /** Does something to each of the visitor's connections. Was anything changed? */
  const forEach = async (
    visitor: Visitor,
    work: (own: OwnConnection) => Promise<boolean>,
  ): Promise<boolean> => {
    let isChanged = false
    for (const own of await list(visitor)) if (await work(own)) isChanged = true
    return isChanged
  }

  return {
    list,
    listApps: () => store.listApps(),

    disconnectDevice: (visitor, grantId) =>
      forEach(visitor, ({ grants }) =>
        revokeEach(
          grants.filter(({ id }) => id === grantId),
          visitor,
        ),
      ),

    disconnectApp: (visitor, appId) =>
      forEach(visitor, async ({ connection, grants, isWhole }) => {
        const ofApp = grants.filter((grant) => grant.appId === appId)
        if (!isWhole) return revokeEach(ofApp, visitor)
        if (ofApp.length === 0) return false
        return (await connections.revokeApp(connection.id, appId, byUser(visitor))).grants > 0
      }),

    revokeLink: (visitor, linkId) =>
      forEach(visitor, async ({ connection, links: own }) =>
        own.some(({ id }) => id === linkId)
          ? links.revokeAny(linkId, connection.id, byUser(visitor))
          : false,
      ),

    disconnectAll: (visitor) =>
      forEach(visitor, async ({ connection: { id, status }, grants, isWhole }) => {
        if (status === 'revoked') return false
        if (!isWhole) return revokeEach(grants, visitor)
        await connections.revoke(id, byUser(visitor))
        return true
      }),

    // The event of an erasure is kept, so it has no address.
    erase: (visitor) =>
      forEach(visitor, async ({ connection: { id }, grants, isWhole }) => {
        if (!isWhole) return revokeEach(grants, visitor)
        await connections.erase(id, 'user')
        return true
      }),
  }
}
