import type { FastifyPluginAsync } from 'fastify'
import type { App, Connection, Event, Grant, UpstreamState } from '../../../../db/store.ts'
import type { AdminModels, Badge, DeviceView, UserAppView } from '../../../../views/admin/models.ts'
import { timeText } from '../../../../views/time.ts'
import { tokensUntil } from '../../../connections/connections.ts'
import { reconnectUrl } from '../../../oauth/swap.ts'
import { currentProblem } from '../../../refresh/upstream-status.ts'
import type { HttpServices } from '../../../services.ts'
import { actorText, eventText } from './event-text.ts'
import { plainName } from './name.ts'
import { badgeOf } from './user-status.ts'

/** One connected user: apps, devices, and what happened. */
export const userRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { apps, connections, upstream } = services

  app.get('/users/:id', async (request, reply) => {
    const { id } = request.params as { id: string }
    const { events } = request.query as { events?: unknown }
    const shown = await connections.find(id, typeof events === 'string' ? events : null)
    if (!shown) return reply.missing('There is no such user (any more).')
    const known = { all: await apps.list(), state: await upstream.state() }
    return reply.show('admin/user', modelOf(shown, known, services))
  })
}

type Shown = NonNullable<Awaited<ReturnType<HttpServices['connections']['find']>>>

function modelOf(
  { connection, grants, events, newer, older }: Shown,
  { all, state }: { all: App[]; state: UpstreamState },
  { config, clock }: HttpServices,
): AdminModels['admin/user'] {
  const now = clock.now()
  const base = `/admin/users/${encodeURIComponent(connection.id)}`
  const live = connection.status !== 'revoked'
  const eventsAt = (cursor: string) =>
    `${config.basePath}${base}?events=${encodeURIComponent(cursor)}#events`
  return {
    id: connection.id,
    path: base as `/admin${string}`,
    name: connection.username,
    accountId: connection.accountId,
    badge: badgeOf(connection, state),
    note: noteOf(connection, state),
    live,
    connectedAt: connection.connectedAt,
    lastUsedAt: connection.lastUsedAt,
    refreshedAt: connection.refreshedAt,
    tokenUntil: connection.accessTokenExpiresAt,
    tokenEnded: tokensUntil(connection, now) === null,
    lastError: connection.lastError,
    retryAt: live && connection.failures > 0 ? connection.retryAt : null,
    revokedAt: connection.revokedAt,
    erasurePending: !live && connection.erasedAt === null,
    personErasedAt: connection.personErasedAt,
    apps: appsOf(grants, all, { connection, now, publicUrl: config.publicUrl }),
    events: events.map((event) => entryOf(event, all)),
    newer: newer && eventsAt(newer),
    older: older && eventsAt(older),
  }
}

/** What the status means, and what can be done. */
function noteOf(connection: Connection, upstream: UpstreamState): string | null {
  if (connection.status === 'needs_reconnect') {
    return 'Ellipsis Drive refuses this connection’s refresh token. The user has to connect again: send them a reconnect link.'
  }
  if (connection.status === 'revoked' || connection.failures === 0) return null
  const trouble = currentProblem(upstream)
  return trouble === null
    ? 'The last refresh failed. The connection isn’t dead: it is tried again.'
    : `Ellipsis Drive hasn’t answered as it should since ${timeText(trouble.since)}: ${trouble.error}. The connection isn’t dead: it goes on once that answers.`
}

interface Around {
  connection: Connection
  now: number
  publicUrl: string
}

/** Those that may still do something first, and in each the devices likewise. */
function appsOf(grants: Grant[], all: App[], around: Around): UserAppView[] {
  const { connection, publicUrl } = around
  const base = `/admin/users/${encodeURIComponent(connection.id)}`
  const views = [...Map.groupBy(grants, ({ appId }) => appId)].map(([appId, own]): UserAppView => {
    const app = all.find(({ id }) => id === appId)
    const devices = own.map((grant) => deviceOf(grant, app, around, base))
    const returns = app && app.redirectUris.length > 0
    const reconnect = returns && connection.status !== 'revoked'
    return {
      name: app?.name ?? 'A removed app',
      href: app ? `/admin/apps/${encodeURIComponent(appId)}` : null,
      devices: devices.filter(isLive),
      former: devices.filter((device) => !isLive(device)),
      reconnectUrl: reconnect ? reconnectUrl(publicUrl, app, connection.id) : null,
      revoke: `${base}/apps/${encodeURIComponent(appId)}/revoke`,
    }
  })
  return views.sort((one, other) => other.devices.length - one.devices.length)
}

function deviceOf(grant: Grant, app: App | undefined, { now }: Around, base: string): DeviceView {
  const endsAt = grant.expiresAtSeconds * 1000
  const badge = deviceBadge(grant, app, endsAt <= now)
  return {
    name: grant.device,
    badge,
    beganAt: grant.createdAt,
    lastUsedAt: grant.lastUsedAt,
    endsAt: grant.revokedAt ?? endsAt,
    revoke: `${base}/devices/${encodeURIComponent(grant.id)}/revoke`,
  }
}

const isLive = ({ badge }: DeviceView): boolean => badge.tone === 'good'

function deviceBadge(grant: Grant, app: App | undefined, expired: boolean): Badge {
  if (grant.revokedAt !== null) return { tone: 'quiet', words: 'Revoked' }
  if (!app) return { tone: 'quiet', words: 'Ended with its app' }
  return expired ? { tone: 'quiet', words: 'Ended' } : { tone: 'good', words: 'Active' }
}

const entryOf = (event: Event, all: App[]) => ({
  at: event.at,
  words: eventText(
    event,
    plainName(all.find(({ id }) => id === event.appId)?.name ?? 'a removed app'),
  ),
  who: actorText(event.actor),
  address: event.address,
})
