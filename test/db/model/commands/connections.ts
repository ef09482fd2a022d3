import type {
  Connection,
  ConnectionSort,
  ListedConnection,
  NewTokens,
  Store,
} from '../../../../db/store.ts'
import { newCode } from '../../rows.ts'
import { sortTies } from './answers.ts'
import { call, DAY, HOUR, MINUTE, several } from './context.ts'
import type { Command, Context } from './context.ts'

export const newTokens = (at: Context): NewTokens => ({
  refreshToken: at.sealed('refresh'),
  accessToken: at.sealed('access'),
  accessTokenExpiresAt: at.now + at.choose(MINUTE, HOUR),
  accessTokenFetchedAt: at.now,
})

/** A connection, and its generation as a writer read it. */
export const readGeneration = (at: Context, { generation }: Pick<Connection, 'generation'>) =>
  at.chance(15) ? generation - 1 : generation

const accountId = (at: Context) => at.choose(null, 'account 1', 'account 2', 'account 3')
const username = (at: Context) => at.choose('Anna', 'anna b', 'Bob', 'JOANNA', 'hannah', 'Zoe')

const newCodeOf = (at: Context, connectionId: string) =>
  at.chance(20)
    ? null
    : newCode(at.fresh('code'), {
        ...{
          connectionId,
          appId: at.appId(),
          createdAt: at.now,
          expiresAt: at.now + at.choose(MINUTE, 2 * DAY),
        },
      })

export const connectionCommands: Record<string, Command> = {
  addConnection: (at) => {
    const id = at.connectionId()
    return call('saveConnection', {
      ...{ id, expectedGeneration: null, accountId: accountId(at), username: username(at) },
      ...{ tokens: newTokens(at), now: at.now, code: newCodeOf(at, id) },
      ...(at.chance(20) && { importState: 'pending' as const }),
      events: at.events('connection.connected', { connectionId: id }),
    })
  },

  renewConnection: (at) => {
    const connection = at.one(at.tables.connections.values())
    if (!connection) return null
    const { id, status } = connection
    return call('saveConnection', {
      ...{ id, expectedGeneration: readGeneration(at, connection), accountId: accountId(at) },
      username: at.choose('', username(at)),
      tokens: status === 'active' && at.chance(30) ? null : newTokens(at),
      ...{ now: at.now, code: newCodeOf(at, id) },
      events: at.events('connection.reconnected', { connectionId: id }),
    })
  },

  revokeConnection: (at) => {
    const [id, other] = [at.connectionId(), at.connectionId()]
    const why = at.choose(
      ...[undefined, undefined, undefined, undefined],
      ...[{ importState: 'rejected' as const }, { replacedBy: other }],
    )
    const erasePerson = why === undefined && at.chance(30)
    return call('revokeConnection', {
      ...{ id, now: at.now },
      ...(erasePerson && { erasePerson }),
      ...(why && { why }),
      events: at.events(erasePerson ? 'connection.erased' : 'connection.revoked', {
        connectionId: id,
      }),
    })
  },

  identifyConnection: (at) => {
    const connection = at.one(at.tables.connections.values())
    if (!connection || connection.accountId !== null) return null
    const names = { accountId: accountId(at), username: username(at) }
    return call('identifyConnection', { id: connection.id, ...names })
  },

  removeConnection: (at) => call('removeConnection', at.connectionId()),

  markConnectionsForReconnect: (at) => {
    const [limit, toOtherApi] = [at.choose(1, 2, 9), at.chance(50)]
    return several(`markConnectionsForReconnect, ${limit} at a time`, async (store) => {
      for (let after: string | null = null; ;) {
        const batch = { after, limit, toOtherApi, reason: 'moved' }
        const last: string | null = await store.markConnectionsForReconnect(batch)
        if (last === null) return 'done'
        after = last
      }
    })
  },

  browseConnections: (at) => {
    const query = {
      ...filter(at),
      sort: at.choose<ConnectionSort>('user', 'connected', 'used', 'expiry'),
      descending: at.chance(50),
      limit: at.choose(1, 2, 3, 50),
    }
    const field = SORTED_BY[query.sort]
    return several(`browseConnections(${JSON.stringify(query)}), all pages`, async (store) => {
      const rows = []
      const counts = []
      for (let cursor: string | null = null; ;) {
        const page: Page = await store.browseConnections({ ...query, cursor })
        rows.push(...page.rows)
        counts.push([page.rows.length, page.total, page.previous !== null, page.next !== null])
        if (page.next === null) return { rows: sortTies(rows, [field]), counts }
        cursor = page.next
      }
    })
  },

  walkConnections: (at) => {
    const query = filter(at)
    return several(`walkConnections(${JSON.stringify(query)}), to the end`, async (store) => {
      const rows = []
      for (let cursor: string | null = null; ;) {
        const page: Walk = await store.walkConnections(query, cursor)
        rows.push(...page.rows)
        if (page.next === null) return sortTies(rows, ['connectedAt'])
        cursor = page.next
      }
    })
  },

  countConnections: (at) => call('countConnections', at.choose(null, at.appId())),
}

const SORTED_BY: Record<ConnectionSort, keyof ListedConnection> = {
  ...{ user: 'username', connected: 'connectedAt' },
  ...{ used: 'lastUsedAt', expiry: 'accessTokenExpiresAt' },
}

type Page = Awaited<ReturnType<Store['browseConnections']>>
type Walk = Awaited<ReturnType<Store['walkConnections']>>

function filter(at: Context) {
  const { grants, connections } = at.tables
  return {
    search: at.choose<string | null>(
      ...[null, null, 'ann', 'AN', 'b', 'zoe', 'xyz'],
      ...['ext 1', 'account 1', at.connectionId()],
      at.one(grants.keys()) ?? at.one(connections.keys()) ?? '',
    ),
    statuses: at.choose(
      ['active', 'needs_reconnect', 'revoked'] as const,
      at.some(['active', 'needs_reconnect', 'revoked'] as const),
    ) as Connection['status'][],
    appId: at.choose(null, null, at.appId()),
  }
}
