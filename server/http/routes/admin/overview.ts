import type { FastifyPluginAsync } from 'fastify'
import type { ConnectionQuery, ConnectionStatus, UpstreamState } from '../../../../db/store.ts'
import type { AttentionView, CountsView, UpstreamView } from '../../../../views/admin/monitoring.ts'
import type { Attention } from '../../../connections/overview.ts'
import type { HttpServices } from '../../../services.ts'
import { formatNumber } from './format.ts'
import { readPeriod, usageView } from './usage-view.ts'
import { connectionBadge } from './users.ts'
import { webhookPath } from './webhook-path.ts'

/** The first page: connections by health, Ellipsis Drive's status, what needs attention, usage. */
export const overviewRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { overview, connections, config, clock } = services

  app.get('/', async (request, reply) => {
    const [{ counts, upstream, attention }, { rows }, usage] = await Promise.all([
      overview.summary(),
      connections.browse(FAILING_CONNECTIONS),
      usageView(services, `${config.basePath}/admin`, readPeriod(request.query)),
    ])
    return reply.show('admin/overview', {
      counts: countsView(counts, `${config.basePath}/admin/users`),
      upstream: upstreamView(upstream, clock.now()),
      failing: rows.map((row) => ({
        name: row.username || row.id,
        path: `/admin/users/${encodeURIComponent(row.id)}`,
        badge: connectionBadge(row, upstream),
        reason: row.lastError ?? 'Ellipsis Drive rejected the refresh token.',
        lastUsedAt: row.lastUsedAt,
      })),
      failingMore: counts.needs_reconnect > rows.length,
      attention: attention.map((one) => attentionView(one)),
      usage,
    })
  })
}

const HOUR_MS = 3_600_000

const FAILING_CONNECTIONS: ConnectionQuery = {
  search: null,
  statuses: ['needs_reconnect'],
  appId: null,
  sort: 'used',
  descending: true,
  cursor: null,
  limit: 5,
}

/** Says that it is up only if it answered in the last hour: an idle broker does not contact it. */
function upstreamView(state: UpstreamState, now: number): UpstreamView {
  const { failingSince, answeredAt } = state
  const badgeOf = (): UpstreamView['badge'] => {
    if (failingSince !== null) return { tone: 'bad', text: 'Failing' }
    if (answeredAt === null) return { tone: 'quiet', text: 'Not contacted yet' }
    return now - answeredAt > HOUR_MS
      ? { tone: 'quiet', text: 'No recent contact' }
      : { tone: 'good', text: 'Up' }
  }
  return { badge: badgeOf(), ...state }
}

/**
 * Connections by health, for `views/admin/counts.eta`.
 * @param list path of the list of users, with the base path
 * @param appId only this app; default: all apps
 */
export function countsView(
  counts: Record<ConnectionStatus, number>,
  list: string,
  appId?: string,
): CountsView {
  return {
    connected: formatNumber(counts.active + counts.needs_reconnect),
    healthy: formatNumber(counts.active),
    needReconnecting: formatNumber(counts.needs_reconnect),
    anyNeedReconnecting: counts.needs_reconnect > 0,
    connectedHref: usersPath(list, { app: appId }),
    healthyHref: usersPath(list, { status: 'active', app: appId }),
    needReconnectingHref: usersPath(list, { status: 'needs_reconnect', app: appId }),
  }
}

/**
 * An entry under “Needs attention”, for `views/admin/attention.eta`.
 * @param appId set on the page of this app: user links are limited to it, and it has no link to itself
 */
export function attentionView(attention: Attention, appId?: string): AttentionView {
  const none = { at: null, path: null, link: '' }
  const appPath = ({ id }: { id: string }) =>
    id === appId ? null : (`/admin/apps/${encodeURIComponent(id)}` as const)
  switch (attention.kind) {
    case 'upstream':
      return {
        ...none,
        tone: 'bad',
        label: 'Ellipsis Drive',
        text: `Ellipsis Drive is failing: ${attention.error}. Access tokens that are still valid are handed out, and no connection is lost. First failure`,
        at: attention.since,
      }
    case 'app_failures':
      return {
        ...none,
        tone: 'warn',
        label: 'Failing app',
        text: `${formatNumber(attention.failed)} of ${formatNumber(attention.of)} swaps of ${attention.app.name} failed in the last 24 hours.`,
        path: appPath(attention.app),
        link: 'View app',
      }
    case 'needs_reconnect':
      return {
        ...none,
        tone: 'warn',
        label: 'Reconnect',
        text:
          attention.count === 1
            ? '1 user has to reconnect: Ellipsis Drive rejected the refresh token.'
            : `${formatNumber(attention.count)} users have to reconnect: Ellipsis Drive rejected their refresh tokens.`,
        path: usersPath('/admin/users', { status: 'needs_reconnect', app: appId }),
        link: 'View users',
      }
    case 'undelivered':
      return {
        ...none,
        tone: 'warn',
        label: 'Webhook',
        text: `Events for ${attention.sink.name} have not been delivered for more than an hour. The oldest pending event is from`,
        at: attention.since,
        path: webhookPath(attention.sink.id),
        link: 'View deliveries',
      }
    case 'endpoint_gone':
      return {
        ...none,
        tone: 'warn',
        label: 'Webhook',
        text: `${attention.sink.name} wants no more events: it answered with status 410 (Gone). Remove it, or enable it again. It was disabled`,
        at: attention.at,
        path: webhookPath(attention.sink.id),
        link: 'View endpoint',
      }
    case 'bulk': {
      const { id, status, trouble } = attention.bulk
      const isReady = status === 'ready'
      return {
        ...none,
        tone: trouble === null ? 'quiet' : 'bad',
        label: 'Bulk revocation',
        text:
          trouble ??
          (isReady
            ? 'A bulk revocation is waiting for confirmation.'
            : 'A bulk revocation is running.'),
        path: `/admin/bulk/${id}`,
        link: isReady ? 'Confirm or cancel' : 'View progress',
      }
    }
    case 'erasure_pending':
      return {
        ...none,
        tone: 'quiet',
        label: 'Erasure',
        text: 'Tokens are revoked but not yet completely erased from disk. The broker retries every few seconds. If this persists, a backup or another program is using the database.',
      }
    case 'secret_ending':
      return {
        ...none,
        tone: 'warn',
        label: 'App secret',
        text: `An old secret of ${attention.app.name} expires soon. Make sure that the app’s back end uses the new one. It expires`,
        at: attention.at,
        path: appPath(attention.app),
        link: 'View app',
      }
    case 'no_second_factor':
      return {
        ...none,
        tone: 'quiet',
        label: 'Second factor',
        text: `No second factor: ${attention.emails.join(', ')}.`,
        path: '/admin/account',
        link: 'Go to account',
      }
    case 'no_apps':
      return {
        ...none,
        tone: 'quiet',
        label: 'First step',
        text: 'No apps registered yet.',
        path: '/admin/apps',
        link: 'Register an app',
      }
  }
}

/** The list of users with a filter. */
function usersPath<Path extends string>(
  list: Path,
  { status, app }: { status?: ConnectionStatus; app: string | undefined },
): Path | `${Path}?${string}` {
  const fields = { ...(status && { status }), ...(app !== undefined && { app }) }
  const query = new URLSearchParams(fields).toString()
  return query === '' ? list : `${list}?${query}`
}
