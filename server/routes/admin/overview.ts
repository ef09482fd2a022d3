import type { FastifyPluginAsync } from 'fastify'
import type { Services } from '../../services.ts'

/** The first page. */
export const overviewRoutes: FastifyPluginAsync<{ services: Services }> = async (app) => {
  app.get('/', async (_request, reply) => reply.show('admin/overview', {}))
}
