import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../../metrics/metrics.ts'

/** Each answer of this scope is timed, and has a line: method, path without its query, status, time. */
export function logRequests(app: FastifyInstance, { pages }: Metrics): void {
  app.addHook('onResponse', async (request, reply) => {
    const { url: path = '(none)' } = request.routeOptions
    const { id, method, ip: address } = request
    const labels = { route: path, status: `${Math.floor(reply.statusCode / 100)}xx` }
    pages.observe(labels, reply.elapsedTime / 1000)
    const took = Math.round(reply.elapsedTime)
    request.log.info(
      { request: id, method, path, status: reply.statusCode, address, milliseconds: took },
      'answered',
    )
  })
}
