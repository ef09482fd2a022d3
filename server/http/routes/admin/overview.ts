import type { FastifyPluginAsync } from 'fastify'
import type { UpstreamState } from '../../../../db/store.ts'
import type { UpstreamView } from '../../../../views/admin/oversight.ts'
import type { HttpServices } from '../../../services.ts'
import { attentionView, countsView } from './overview-view.ts'
import { readPeriod, usageView } from './usage-view.ts'

/** The first page: how it goes, and what needs attention first. */
export const overviewRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { overview, config } = services

  app.get('/', async (request, reply) => {
    return reply.show('admin/overview', {
      counts: countsView(await overview.counts(), `${config.basePath}/admin/users`),
      upstream: upstreamView(await overview.upstream()),
      attention: (await overview.attention()).map((one) => attentionView(one)),
      usage: await usageView(services, `${config.basePath}/admin`, readPeriod(request.query)),
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
