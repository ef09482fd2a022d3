import type { App, Event, Grant, Millis } from '../../db/store.ts'
import type { OwnConnection } from './my-access.ts'
import type { Person } from './sessions.ts'

/**
 * Everything that is stored about a person, for the person (GDPR article 15): names as in the API, times in ISO 8601.
 * Not included: tokens, which are secret from everyone, and who the admins are.
 */
export const describeData = (person: Person, own: OwnConnection[], apps: App[], now: Millis) => {
  const nameOf = (appId: string | null) => apps.find(({ id }) => id === appId)?.name ?? null
  return {
    created_at: isoTime(now),
    account: { id: person.accountId, username: person.username },
    connections: own.map(({ connection, grants, links, events }) => ({
      id: connection.id,
      account_id: connection.accountId,
      username: connection.username,
      status: connection.status,
      last_error: connection.lastError,
      connected_at: isoTime(connection.connectedAt),
      refreshed_at: isoTime(connection.refreshedAt),
      last_used_at: isoTime(connection.lastUsedAt),
      access_token_expires_at: isoTime(connection.accessTokenExpiresAt),
      revoked_at: isoTime(connection.revokedAt),
      grants: grants.map((grant) => ({ ...describeGrant(grant), app: nameOf(grant.appId) })),
      links: links.map((link) => ({
        id: link.id,
        client_id: link.appId,
        path: link.path,
        is_prefix: link.isPrefix,
        label: link.label,
        uses: link.uses,
        created_at: isoTime(link.createdAt),
        expires_at: isoTime(link.expiresAt),
        last_used_at: isoTime(link.lastUsedAt),
      })),
      events: events.map((event) => ({ ...describeEvent(event), app: nameOf(event.appId) })),
    })),
  }
}

const describeGrant = (grant: Grant) => ({
  id: grant.id,
  client_id: grant.appId,
  scope: grant.scope,
  access_policy: grant.policy,
  device: grant.device,
  external_id: grant.externalId,
  created_at: isoTime(grant.createdAt),
  last_used_at: isoTime(grant.lastUsedAt),
  expires_at: isoTime(grant.expiresAtSeconds * 1000),
  revoked_at: isoTime(grant.revokedAt),
})

/** Who the admin was, and from where, are data about the admin. */
function describeEvent({ at, actor, action, appId, grantId, address, details }: Event) {
  const isAdmin = actor.startsWith('admin:')
  return {
    at: isoTime(at),
    actor: isAdmin ? 'admin' : actor,
    action,
    client_id: appId,
    grant_id: grantId,
    address: isAdmin ? null : address,
    details,
  }
}

const isoTime = (time: Millis | null): string | null =>
  time === null ? null : new Date(time).toISOString()
