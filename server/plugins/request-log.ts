import type { FastifyInstance } from 'fastify'

/** One line for each answer of this scope: method, path without its query, status, time. */
export function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => {
    const path = request.routeOptions.url ?? '(none)'
    const { id, method, ip: address } = request
    const took = Math.round(reply.elapsedTime)
    request.log.info(
      { request: id, method, path, status: reply.statusCode, address, milliseconds: took },
      'answered',
    )
  })
}
