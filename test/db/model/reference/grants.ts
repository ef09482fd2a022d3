import type { Grant, GrantSource, Millis, SwapState } from '../../../../db/store.ts'
import { deleteWhere, isUnrevoked, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'addGrant'
  | 'getGrant'
  | 'listGrants'
  | 'listGrantsWithoutAccount'
  | 'listGrantsOfApp'
  | 'setExternalId'
  | 'revokeGrants'
  | 'getSwapState'
  | 'useJti'
  | 'renewGrant'

export const grantRules = (tables: Tables): Answering<Methods> => {
  const byId = (): Grant[] => sortBy(tables.grants.values(), ({ id }) => id)

  return {
    addGrant(grant, { source, now, events }) {
      const connection = tables.connections.get(grant.connectionId)
      if (tables.grants.has(grant.id) || !connection || !isUnrevoked(connection)) return false
      if (source !== null && !useCode(tables, source, grant.id, now)) return false
      tables.grants.set(grant.id, grant)
      writeEvents(tables, events)
      return true
    },

    getGrant: (id) => tables.grants.get(id),

    listGrants: (connectionId) => byId().filter((grant) => grant.connectionId === connectionId),

    listGrantsWithoutAccount({ after, limit }) {
      const rest = byId().filter(({ id }) => after === null || id > after)
      const read = rest.slice(0, limit)
      const rows = read.filter((grant) => {
        const connection = tables.connections.get(grant.connectionId)
        return (
          isUnrevoked(grant) &&
          grant.browserHash !== null &&
          connection?.revokedAt === null &&
          connection.accountId === null
        )
      })
      return {
        rows: rows.map(({ appId, connectionId, browserHash }) => ({
          ...{ appId, connectionId, browserHash },
        })),
        next: rest.length > limit ? (read.at(-1)?.id ?? null) : null,
      }
    },

    listGrantsOfApp: ({ appId, externalId, after, limit }) =>
      byId()
        .filter((grant) => grant.appId === appId)
        .filter((grant) => externalId === null || grant.externalId === externalId)
        .filter((grant) => after === null || grant.id > after)
        .slice(0, limit)
        .map((grant) => {
          const { username = '', status = 'revoked' } =
            tables.connections.get(grant.connectionId) ?? {}
          return { grant, connection: { username, status } }
        }),

    setExternalId({ grantId, appId, externalId, events }) {
      const grant = tables.grants.get(grantId)
      if (grant?.appId !== appId) return false
      tables.grants.set(grantId, { ...grant, externalId })
      writeEvents(tables, events)
      return true
    },

    revokeGrants({ now, events, ...which }) {
      if ('appId' in which) {
        const isTheirs = (one: { appId: string; connectionId: string | null }) =>
          one.appId === which.appId && one.connectionId === which.connectionId
        const codes = deleteWhere(tables.codes, (code) => isTheirs(code) && code.usedAt === null)
        const deviceCodes = deleteWhere(
          tables.deviceCodes,
          (code) => isTheirs(code) && code.usedAt === null,
        )
        const revoked = revokeWhere(tables, isTheirs, now)
        if (revoked + codes + deviceCodes > 0) writeEvents(tables, events)
        return revoked
      }
      const one = tables.grants.get(which.id)
      const isSameDevice = (grant: Grant) =>
        which.device === true &&
        grant.browserHash !== null &&
        grant.browserHash === one?.browserHash &&
        grant.appId === one.appId &&
        grant.connectionId === one.connectionId
      const revoked = revokeWhere(
        tables,
        (grant) => grant.id === which.id || isSameDevice(grant),
        now,
      )
      if (revoked > 0) writeEvents(tables, events)
      return revoked
    },

    getSwapState({ grantId, kid }) {
      const keyStatus = tables.signingKeys.get(kid)?.status ?? null
      const state = swapState(tables, grantId)
      return state && { keyStatus, ...state }
    },

    useJti({ grantId, expectedJti, jti, now }) {
      const grant = tables.grants.get(grantId)
      if (grant?.jti !== expectedJti || grant.jtiUsedAt !== null) return false
      tables.grants.set(grantId, { ...grant, jti, jtiUsedAt: now })
      return true
    },

    renewGrant({ grantId, expectedJti, ...renewed }) {
      const grant = tables.grants.get(grantId)
      if (grant?.jti !== expectedJti || !isUnrevoked(grant)) return false
      tables.grants.set(grantId, { ...grant, ...renewed, jtiUsedAt: null })
      return true
    },
  }
}

/** Uses up a code. `false`: it is unknown, not approved, used or expired. */
function useCode(tables: Tables, source: GrantSource, grantId: string, now: Millis): boolean {
  if ('codeHash' in source) {
    const code = tables.codes.get(source.codeHash)
    if (!code || code.usedAt !== null || code.expiresAt <= now) return false
    tables.codes.set(source.codeHash, { ...code, usedAt: now, grantId })
    return true
  }
  const code = tables.deviceCodes.get(source.deviceCodeHash)
  if (code?.status !== 'approved' || code.usedAt !== null || code.expiresAt <= now) return false
  tables.deviceCodes.set(source.deviceCodeHash, { ...code, usedAt: now, grantId })
  return true
}

/** Returns how many grants were revoked now. */
export function revokeWhere(
  tables: Tables,
  matches: (grant: Grant) => boolean,
  now: Millis,
): number {
  const found = [...tables.grants.values()].filter((grant) => isUnrevoked(grant) && matches(grant))
  for (const grant of found) tables.grants.set(grant.id, { ...grant, revokedAt: now })
  return found.length
}

/** What requests of a grant are decided on. */
export function swapState(
  tables: Tables,
  grantId: string,
): Omit<SwapState, 'keyStatus'> | undefined {
  const grant = tables.grants.get(grantId)
  const connection = tables.connections.get(grant?.connectionId ?? '')
  if (!grant || !connection) return undefined
  const app = tables.apps.get(grant.appId)
  return {
    grant: pick(
      grant,
      ...([
        'id',
        'appId',
        'connectionId',
        'scope',
        'jti',
        'jkt',
        'jtiUsedAt',
        'previousJti',
      ] as const),
      ...(['successorsSinceSeconds', 'issuedAtSeconds', 'expiresAtSeconds', 'createdAt'] as const),
      ...(['revokedAt', 'policy'] as const),
    ),
    app: app
      ? pick(
          app,
          ...(['id', 'confidential', 'tokens', 'tokenLifetimeSeconds', 'secrets'] as const),
          ...(['grantLifetimeSeconds', 'dpop', 'requestsPerMinute', 'requestsPerDay'] as const),
          ...(['session', 'offline', 'access', 'readOnly', 'allow'] as const),
        )
      : null,
    connection: pick(connection, 'id', 'status', 'generation'),
  }
}

export const pick = <T, K extends keyof T>(record: T, ...names: K[]): Pick<T, K> =>
  Object.fromEntries(names.map((name) => [name, record[name]])) as Pick<T, K>
