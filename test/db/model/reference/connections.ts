import { fold } from '../../../../db/fold.ts'
import type { App, Connection, Millis, NewTokens } from '../../../../db/store.ts'
import { pick, revokeWhere } from './grants.ts'
import { deleteWhere, isUnrevoked, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'getConnection'
  | 'getUsernames'
  | 'findConnection'
  | 'listConnectionsOfAccount'
  | 'saveConnection'
  | 'revokeConnection'
  | 'identifyConnection'
  | 'removeConnection'
  | 'markConnectionsForReconnect'

const NO_TOKENS = {
  refreshToken: null,
  previousRefreshToken: null,
  accessToken: null,
  accessTokenExpiresAt: null,
  accessTokenFetchedAt: null,
  importState: null,
}
export const NO_LEASE = { leaseOwner: null, leaseRemainingMs: null }
export const NO_FAILURES = { failures: 0, rejections: 0, lastError: null, retryAt: null }

export const connectionRules = (tables: Tables): Answering<Methods> => {
  const { connections } = tables

  return {
    getConnection: (id) => connections.get(id),

    getUsernames: (ids) =>
      new Map(
        ids.flatMap((id) => {
          const connection = connections.get(id)
          return connection ? [[id, connection.username]] : []
        }),
      ),

    findConnection: (accountId) => holderOf(tables, accountId),

    listConnectionsOfAccount: (accountId) =>
      sortBy(
        [...connections.values()].filter((one) => one.accountId === accountId),
        (one) => (isUnrevoked(one) ? 0 : 1),
        ({ connectedAt }) => -connectedAt,
      ),

    saveConnection({ id, expectedGeneration, accountId, username, tokens, now, code, ...more }) {
      const before = connections.get(id)
      if ((before?.generation ?? null) !== expectedGeneration) return false
      if (before && !isUnrevoked(before)) return false
      if ((holderOf(tables, accountId)?.id ?? id) !== id) return false
      connections.set(
        id,
        before
          ? renewed(before, accountId, username, tokens, now)
          : {
              ...added(id, now),
              accountId,
              username,
              ...tokens,
              importState: more.importState ?? null,
            },
      )
      if (code !== null) tables.codes.set(code.codeHash, { ...code, usedAt: null, grantId: null })
      writeEvents(tables, more.events)
      return true
    },

    revokeConnection({ id, now, erasePerson = false, why, events }) {
      const connection = connections.get(id)
      const isChanged =
        connection &&
        (isUnrevoked(connection) || (erasePerson && connection.personErasedAt === null))
      if (!isChanged) return false
      if (isUnrevoked(connection)) revoke(tables, connection, now, why)
      if (erasePerson) {
        const ids = [...connections.values()]
          .filter(
            (other) => other.id === id || (isSameAccount(other, connection) && !isUnrevoked(other)),
          )
          .map(({ id }) => id)
        for (const id of ids) erasePersonOf(tables, id, now)
      }
      writeEvents(tables, events)
      return true
    },

    identifyConnection({ id, accountId, username }) {
      const connection = connections.get(id)
      if (!connection || !isUnrevoked(connection)) return false
      if ((holderOf(tables, accountId)?.id ?? id) !== id) return false
      connections.set(id, { ...connection, accountId, username })
      return true
    },

    removeConnection(id) {
      if ((connections.get(id)?.erasedAt ?? null) === null) return false
      deleteConnection(tables, id)
      return true
    },

    markConnectionsForReconnect({ after, limit, toOtherApi, reason }) {
      const rest = sortBy(connections.values(), ({ id }) => id).filter(
        ({ id }) => after === null || id > after,
      )
      const batch = rest.filter(isUnrevoked).slice(0, limit)
      for (const connection of batch) {
        const gone = { ...NO_TOKENS, accountId: null, generation: connection.generation + 1 }
        connections.set(connection.id, {
          ...connection,
          status: 'needs_reconnect',
          lastError: reason,
          retryAt: null,
          ...NO_LEASE,
          ...(toOtherApi && gone),
        })
      }
      return batch.at(-1)?.id ?? null
    },
  }
}

/** The unrevoked connection of an account. */
const holderOf = (tables: Tables, accountId: string | null): Connection | undefined =>
  accountId === null
    ? undefined
    : [...tables.connections.values()].find(
        (one) => one.accountId === accountId && isUnrevoked(one),
      )

const isSameAccount = (one: Connection, other: Connection): boolean =>
  one.accountId !== null && one.accountId === other.accountId

const added = (id: string, now: Millis): Omit<Connection, 'accountId' | 'username'> => ({
  id,
  status: 'active',
  generation: 1,
  ...NO_TOKENS,
  ...NO_LEASE,
  ...NO_FAILURES,
  staleReason: null,
  restoredFrom: null,
  replacedBy: null,
  connectedAt: now,
  refreshedAt: null,
  lastUsedAt: null,
  revokedAt: null,
  erasedAt: null,
  personErasedAt: null,
})

function renewed(
  before: Connection,
  accountId: string | null,
  username: string,
  tokens: NewTokens | null,
  now: Millis,
): Connection {
  const names = {
    accountId: accountId ?? before.accountId,
    username: username === '' ? before.username : username,
  }
  if (tokens === null) return { ...before, ...names }
  return {
    ...before,
    ...names,
    status: 'active',
    generation: before.generation + 1,
    ...tokens,
    previousRefreshToken: null,
    refreshedAt: now,
    ...NO_LEASE,
    ...NO_FAILURES,
    staleReason: null,
    restoredFrom: null,
    importState: null,
  }
}

type Why = { importState: 'rejected' } | { replacedBy: string }

/** Revokes a connection, with all that hangs on it. */
export function revoke(tables: Tables, connection: Connection, now: Millis, why?: Why): void {
  const { id } = connection
  tables.connections.set(id, {
    ...connection,
    status: 'revoked',
    generation: connection.generation + 1,
    revokedAt: now,
    retryAt: null,
    ...NO_TOKENS,
    ...NO_LEASE,
    ...why,
  })
  deleteWhere(tables.codes, (code) => code.connectionId === id)
  deleteWhere(tables.deviceCodes, (code) => code.connectionId === id)
  revokeWhere(tables, (grant) => grant.connectionId === id, now)
}

function erasePersonOf(tables: Tables, id: string, now: Millis): void {
  const connection = tables.connections.get(id) as Connection
  const grants = [...tables.grants.values()].filter(({ connectionId }) => connectionId === id)
  eraseSearches(
    tables,
    [
      ...[connection.username, connection.accountId ?? ''],
      ...grants.map(({ externalId }) => externalId ?? ''),
    ],
    now,
  )
  tables.connections.set(id, {
    ...connection,
    ...{ accountId: null, username: '', lastError: null },
    ...{ personErasedAt: now, erasedAt: null },
  })
  for (const grant of grants) {
    tables.grants.set(grant.id, { ...grant, device: '', browserHash: null, externalId: null })
    deleteWhere(tables.links, ({ grantId }) => grantId === grant.id)
  }
  for (const event of tables.events.values()) {
    const isTheirs =
      event.connectionId === id ||
      (event.connectionId === null && grants.some((grant) => grant.id === event.grantId))
    if (isTheirs && !event.actor.startsWith('admin:'))
      tables.events.set(event.id, { ...event, address: null, details: null })
  }
}

/** A search that is still collecting is cancelled, because without its text it would find everybody. */
function eraseSearches(tables: Tables, names: string[], now: Millis): void {
  const folded = names.map(fold).filter((name) => name !== '')
  for (const bulk of tables.bulks.values()) {
    if (bulk.filter === null || bulk.filter.search === null) continue
    const text = fold(bulk.filter.search)
    if (!folded.some((name) => name.includes(text) || text.includes(name))) continue
    const filter = { ...bulk.filter, search: '(erased)' }
    const cancelled = { status: 'cancelled', endedAt: now, ...NO_LEASE } as const
    tables.bulks.set(bulk.id, { ...bulk, filter, ...(bulk.status === 'collecting' && cancelled) })
  }
}

/** Deletes a connection, its grants and device codes. */
export function deleteConnection(tables: Tables, id: string): void {
  tables.connections.delete(id)
  tables.sequences.delete(id)
  deleteWhere(tables.deviceCodes, ({ connectionId }) => connectionId === id)
  const grants = [...tables.grants.values()].filter(({ connectionId }) => connectionId === id)
  for (const grant of grants) deleteGrant(tables, grant.id)
}

export function deleteGrant(tables: Tables, id: string): void {
  tables.grants.delete(id)
  deleteWhere(tables.links, ({ grantId }) => grantId === id)
}

/** Does a search find the connection? */
export function finds(tables: Tables, search: string, connection: Connection): boolean {
  const { id, accountId, username } = connection
  const grants = [...tables.grants.values()].filter((grant) => grant.connectionId === id)
  const ids = grants.flatMap((grant) =>
    tables.apps.has(grant.appId) ? [grant.id, grant.externalId] : [grant.id],
  )
  return fold(username).includes(fold(search)) || [id, accountId, ...ids].includes(search)
}

/** The apps with unrevoked grants on a connection, and when the last of these expires. */
export function appsOf(tables: Tables, connectionId: string): { id: App['id']; endsAt: Millis }[] {
  const endsAt = new Map<string, Millis>()
  for (const grant of tables.grants.values()) {
    if (grant.connectionId !== connectionId || !isUnrevoked(grant)) continue
    const { appId, expiresAtSeconds } = pick(grant, 'appId', 'expiresAtSeconds')
    endsAt.set(appId, Math.max(endsAt.get(appId) ?? 0, expiresAtSeconds * 1000))
  }
  return sortBy(endsAt, ([id]) => id).map(([id, endsAt]) => ({ id, endsAt }))
}
