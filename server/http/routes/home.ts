import type { FastifyPluginAsync } from 'fastify'
import type { HttpServices } from '../../services.ts'

/** The page at the broker's own URL. */
export const homeRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { config } },
) => {
  app.get('/', { config: { page: true } }, async (_request, reply) =>
    reply.page('home', { operator: config.operator }),
  )
}
