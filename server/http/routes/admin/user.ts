import type { FastifyPluginAsync } from 'fastify'
import type {
  App,
  Connection,
  Event,
  Grant,
  ListedLink,
  UpstreamState,
} from '../../../../db/store.ts'
import type {
  AdminModels,
  DeviceView,
  LinkView,
  UserAppView,
} from '../../../../views/admin/models.ts'
import type { Badge } from '../../../../views/admin/monitoring.ts'
import { listDevices } from '../../../connections/devices.ts'
import type { Device } from '../../../connections/devices.ts'
import { tokensUntil } from '../../../connections/connections.ts'
import { grantEndSeconds } from '../../../oauth/grants.ts'
import { reconnectUrl } from '../../../oauth/token-authentication.ts'
import { currentProblem } from '../../../refresh/upstream-status.ts'
import type { HttpServices } from '../../../services.ts'
import { actorText, eventText } from './event-text.ts'
import { budgetText, formatNumber, plainName } from './format.ts'
import { connectionBadge } from './users.ts'

/** The page of one connected user: status, apps, devices and events. */
export const userRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { apps, connections, upstream, driveBudget } = services

  app.get('/users/:id', async (request, reply) => {
    const { id } = request.params as { id: string }
    const { events } = request.query as { events?: unknown }
    const [found, all, state, budgets] = await Promise.all([
      connections.find(id, typeof events === 'string' ? events : null),
      apps.list(),
      upstream.state(),
      driveBudget.use({ connectionId: id }),
    ])
    if (!found) return reply.missing('This user does not exist or was deleted.')
    return reply.show('admin/user', {
      ...modelOf(found, { all, state }, services),
      budgets: budgets.map(budgetText),
    })
  })
}

type FoundConnection = NonNullable<Awaited<ReturnType<HttpServices['connections']['find']>>>

function modelOf(
  { connection, grants, links, events, newer, older }: FoundConnection,
  { all, state }: { all: App[]; state: UpstreamState },
  { config, clock }: HttpServices,
): Omit<AdminModels['admin/user'], 'budgets'> {
  const now = clock.now()
  const base = `/admin/users/${encodeURIComponent(connection.id)}`
  const isLive = connection.status !== 'revoked'
  const views = appModels(grants, all, { connection, links, now, publicUrl: config.publicUrl })
  const isUnused = views.every(({ devices }) => devices.length === 0)
  const eventsUrl = (cursor: string) =>
    `${config.basePath}${base}?events=${encodeURIComponent(cursor)}#events`
  return {
    id: connection.id,
    path: base as `/admin${string}`,
    name: connection.username,
    accountId: connection.accountId,
    badge: connectionBadge(connection, state),
    note: noteOf(connection, state, isUnused),
    mustReconnect: connection.status === 'needs_reconnect' || isUnused,
    isLive,
    connectedAt: connection.connectedAt,
    lastUsedAt: connection.lastUsedAt,
    refreshedAt: connection.refreshedAt,
    tokenExpiresAt: connection.accessTokenExpiresAt,
    isTokenExpired:
      connection.accessTokenExpiresAt !== null && tokensUntil(connection, now) === null,
    lastError: connection.lastError,
    retryAt: isLive && connection.failures > 0 ? connection.retryAt : null,
    revokedAt: connection.revokedAt,
    erasurePending: !isLive && connection.erasedAt === null,
    personErasedAt: connection.personErasedAt,
    apps: views,
    events: events.map((event) => eventModel(event, all)),
    newer: newer && eventsUrl(newer),
    older: older && eventsUrl(older),
  }
}

/**
 * Explains the status, and what the admin can do.
 * @param isUnused no device of any app can get tokens
 */
function noteOf(connection: Connection, upstream: UpstreamState, isUnused: boolean): string | null {
  if (connection.status === 'needs_reconnect') {
    return 'Ellipsis Drive rejects this connection’s refresh token. The user has to reconnect: send them a reconnect link.'
  }
  if (connection.status === 'revoked') return null
  if (isUnused)
    return 'No app can use this connection: all devices are revoked or expired. The user has to connect again: in the app, or with a reconnect link.'
  if (connection.failures === 0) return null
  const outage = currentProblem(upstream)
  return outage === null
    ? 'The last refresh failed. The connection is not lost: the broker retries.'
    : `Ellipsis Drive is failing: ${outage.error}. The connection is not lost: it works again once Ellipsis Drive answers.`
}

/** What the models of apps and devices depend on. */
interface Context {
  connection: Connection
  links: ListedLink[]
  now: number
  publicUrl: string
}

/** The connected apps with their devices; apps with active devices come first. */
function appModels(grants: Grant[], all: App[], context: Context): UserAppView[] {
  const { connection, publicUrl } = context
  const base = `/admin/users/${encodeURIComponent(connection.id)}`
  const views = [...Map.groupBy(grants, ({ appId }) => appId)].map(([appId, own]): UserAppView => {
    const app = all.find(({ id }) => id === appId)
    const devices = listDevices(own, context.now).map((one) => deviceModel(one, app, context, base))
    const hasRedirectUri = app && app.redirectUris.length > 0
    const canReconnect = hasRedirectUri && connection.status !== 'revoked'
    return {
      name: app?.name ?? 'Removed app',
      href: app ? `/admin/apps/${encodeURIComponent(appId)}` : null,
      devices: devices.filter(isActive),
      inactiveDevices: devices.filter((device) => !isActive(device)),
      reconnectUrl: canReconnect ? reconnectUrl(publicUrl, app, connection.id) : null,
      revoke: `${base}/apps/${encodeURIComponent(appId)}/revoke`,
      links: ownLinks(own, context).map((link) => linkModel(link, base)),
    }
  })
  return views.sort((one, other) => other.devices.length - one.devices.length)
}

/** Links of grants that still work: those of the others are deleted later. */
function ownLinks(grants: Grant[], { links, now }: Context): ListedLink[] {
  const active = grants
    .filter(
      ({ revokedAt, expiresAtSeconds }) => revokedAt === null && expiresAtSeconds * 1000 > now,
    )
    .map(({ id }) => id)
  return links.filter(({ grantId }) => active.includes(grantId))
}

const linkModel = (link: ListedLink, base: string): LinkView => ({
  label: link.label,
  path: link.path,
  isPrefix: link.isPrefix,
  createdAt: link.createdAt,
  expiresAt: link.expiresAt,
  lastUsedAt: link.lastUsedAt,
  uses: formatNumber(link.uses),
  revoke: `${base}/links/${encodeURIComponent(link.id)}/revoke`,
})

function deviceModel(
  { grant, connectedAt, lastUsedAt }: Device,
  app: App | undefined,
  { connection, now }: Context,
  base: string,
): DeviceView {
  const endsAt = endOf(grant, app)
  const badge = deviceBadge(grant, app, endsAt !== null && endsAt <= now)
  const isErased = connection.personErasedAt !== null
  return {
    name: grant.device === '' && !isErased ? 'The app’s server' : grant.device,
    externalId: grant.externalId,
    badge,
    id: grant.id,
    connectedAt,
    lastUsedAt,
    endsAt: grant.revokedAt ?? endsAt,
    revoke: `${base}/devices/${encodeURIComponent(grant.id)}/revoke`,
  }
}

/** When access ends; `null`: never, unless it is revoked. An offline app needs no valid broker token. */
function endOf(grant: Grant, app: App | undefined): number | null {
  if (!app?.offline) return grant.expiresAtSeconds * 1000
  const endSeconds = grantEndSeconds(grant, app)
  return endSeconds === Infinity ? null : endSeconds * 1000
}

const isActive = ({ badge }: DeviceView): boolean => badge.tone === 'good'

function deviceBadge(grant: Grant, app: App | undefined, isExpired: boolean): Badge {
  if (grant.revokedAt !== null) return { tone: 'quiet', text: 'Revoked' }
  if (!app) return { tone: 'quiet', text: 'App removed' }
  return isExpired ? { tone: 'quiet', text: 'Expired' } : { tone: 'good', text: 'Active' }
}

const eventModel = (event: Event, all: App[]) => ({
  at: event.at,
  text: eventText(
    event,
    plainName(all.find(({ id }) => id === event.appId)?.name ?? 'a removed app'),
  ),
  actor: actorText(event.actor),
  address: event.address,
})
