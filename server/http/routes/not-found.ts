import type {
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  HTTPMethods,
  RouteOptions,
} from 'fastify'
import { BrokerError, publicError } from '../../errors.ts'
import { send } from '../plugins/errors.ts'

const METHODS: HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

const NOTHING = 'There is nothing at this address.'

/** The routes that there are, told while they are added. */
export type Routes = Pick<RouteOptions, 'url' | 'method'>[]

/** As if there were nothing here, to those who needn't know. */
export function sendNotFound(request: FastifyRequest, reply: FastifyReply) {
  const answer = publicError(new BrokerError('invalid_request', { description: NOTHING }))
  return send({ ...answer, status: 404 }, request, reply)
}

/** What has no route: 405 for a known path, 404 otherwise; a page for people, JSON for programs. */
export const notFoundRoutes: FastifyPluginAsync<{ routes: Routes }> = async (app, { routes }) => {
  const named = routes.filter(({ url, method }) => url !== '*' && method !== 'OPTIONS')
  const patterns = named.map(({ url, method }) => ({
    pattern: new URLPattern({ pathname: url }),
    methods: [method].flat(),
  }))
  const allowed = (pathname: string): string[] => {
    const known = patterns.filter(({ pattern }) => pattern.test({ pathname }))
    return [...new Set(known.flatMap(({ methods }) => methods))]
  }

  app.route({
    method: METHODS,
    url: '/*',
    handler: async (request, reply) => {
      const methods = allowed(request.url.replace(/[?#].*$/s, ''))
      const wrong = methods.length > 0
      const description = wrong ? `Use ${methods.join(' or ')} here.` : NOTHING
      const answer = publicError(new BrokerError('invalid_request', { description }))
      const status = wrong ? 405 : 404
      if (wrong) void reply.header('allow', methods.join(', '))
      if (!request.headers.accept?.includes('text/html'))
        return send({ ...answer, status }, request, reply)
      void reply.code(status)
      return reply.page('notice', {
        title: wrong ? 'Not this way' : 'Nothing here',
        message: description,
      })
    },
  })
}
