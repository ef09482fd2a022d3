import type { FastifyPluginAsync } from 'fastify'
import type { UpstreamState } from '../../../db/store.ts'
import type { AttentionView, UpstreamView } from '../../../views/admin/oversight.ts'
import type { Attention } from '../../domain/overview.ts'
import type { Services } from '../../services.ts'
import { number, readPeriod, usageView } from './usage-view.ts'

/** The first page: how it goes, and what needs attention first. */
export const overviewRoutes: FastifyPluginAsync<{ services: Services }> = async (
  app,
  { services },
) => {
  const { overview, config } = services

  app.get('/', async (request, reply) => {
    const counts = await overview.counts()
    const connected = counts.active + counts.needs_reconnect
    return reply.show('admin/overview', {
      counts: {
        connected: number.format(connected),
        healthy: number.format(counts.active),
        needReconnecting: number.format(counts.needs_reconnect),
        someNeedIt: counts.needs_reconnect > 0,
        list: `${config.basePath}/admin/users`,
      },
      upstream: upstreamView(await overview.upstream()),
      attention: (await overview.attention()).map(attentionView),
      usage: await usageView(services, `${config.basePath}/admin`, readPeriod(request.query)),
      isEmpty: connected + counts.revoked === 0,
    })
  })
}

function upstreamView(state: UpstreamState): UpstreamView {
  const badge =
    state.failingSince !== null
      ? { tone: 'bad' as const, words: 'Failing' }
      : state.answeredAt === null
        ? { tone: 'quiet' as const, words: 'Not asked yet' }
        : { tone: 'good' as const, words: 'Up' }
  return { badge, ...state }
}

/** What to do about it, in words. */
function attentionView(attention: Attention): AttentionView {
  const none = { at: null, path: null, link: '' }
  switch (attention.kind) {
    case 'upstream':
      return {
        ...none,
        tone: 'bad',
        label: 'Ellipsis Drive',
        words: `Ellipsis Drive fails: ${attention.error}. Access tokens that still live are handed out; no connection is lost by it. Since`,
        at: attention.since,
      }
    case 'app_failures':
      return {
        ...none,
        tone: 'warn',
        label: 'Failing app',
        words: `${number.format(attention.failed)} of ${number.format(attention.of)} swaps of ${attention.app.name} failed in the last 24 hours.`,
        path: `/admin/apps/${encodeURIComponent(attention.app.id)}`,
        link: 'Look at the app',
      }
    case 'needs_reconnect':
      return {
        ...none,
        tone: 'warn',
        label: 'Reconnect',
        words:
          attention.count === 1
            ? 'One user has to connect again: Ellipsis Drive refused the refresh token.'
            : `${number.format(attention.count)} users have to connect again: Ellipsis Drive refused their refresh tokens.`,
        path: '/admin/users?status=needs_reconnect',
        link: 'Show who',
      }
    case 'bulk': {
      const { id, status, trouble } = attention.bulk
      const waits = status === 'ready'
      return {
        ...none,
        tone: trouble === null ? 'quiet' : 'bad',
        label: 'Bulk revocation',
        words:
          trouble ??
          (waits ? 'A bulk revocation waits to be confirmed.' : 'A bulk revocation is under way.'),
        path: `/admin/bulk/${id}`,
        link: waits ? 'Confirm or cancel' : 'Follow it',
      }
    }
    case 'erasure_pending':
      return {
        ...none,
        tone: 'quiet',
        label: 'Erasure',
        words:
          'Tokens are revoked, but not all their bytes are gone from the disk yet. It is tried every few seconds; if this stays, a backup or another program holds the database.',
      }
    case 'secret_ending':
      return {
        ...none,
        tone: 'warn',
        label: 'App secret',
        words: `An old secret of ${attention.app.name} is about to end. See that its back end uses the new one by`,
        at: attention.at,
        path: `/admin/apps/${encodeURIComponent(attention.app.id)}`,
        link: 'Look at the app',
      }
    case 'no_second_factor':
      return {
        ...none,
        tone: 'quiet',
        label: 'Second factor',
        words: `Without a second factor: ${attention.emails.join(', ')}.`,
        path: '/admin/account',
        link: 'To your account',
      }
    case 'no_apps':
      return {
        ...none,
        tone: 'quiet',
        label: 'First step',
        words: 'No app is registered yet.',
        path: '/admin/apps',
        link: 'Register an app',
      }
  }
}
