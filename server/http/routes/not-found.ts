import type { FastifyPluginAsync, HTTPMethods, RouteOptions } from 'fastify'
import { BrokerError, publicError } from '../../errors.ts'
import { NOT_FOUND, sendError } from '../plugins/errors.ts'

const METHODS: HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Answers 405 for the path of another route, otherwise 404: a page for browsers, JSON for other clients. */
export const notFoundRoute: FastifyPluginAsync<{
  /** All other routes. */
  routes: Pick<RouteOptions, 'url' | 'method'>[]
}> = async (app, { routes }) => {
  const named = routes.filter(({ url, method }) => url !== '*' && method !== 'OPTIONS')
  const patterns = named.map(({ url, method }) => ({
    pattern: new URLPattern({ pathname: url }),
    methods: [method].flat(),
  }))
  const allowedMethods = (pathname: string): string[] => {
    const matching = patterns.filter(({ pattern }) => pattern.test({ pathname }))
    return [...new Set(matching.flatMap(({ methods }) => methods))]
  }

  app.route({
    method: METHODS,
    url: '/*',
    handler: async (request, reply) => {
      const methods = allowedMethods(request.url.replace(/[?#].*$/s, ''))
      const isWrongMethod = methods.length > 0
      const description = isWrongMethod ? `Use ${methods.join(' or ')} here.` : NOT_FOUND
      const answer = publicError(new BrokerError('invalid_request', { description }))
      const status = isWrongMethod ? 405 : 404
      if (isWrongMethod) void reply.header('allow', methods.join(', '))
      if (!request.headers.accept?.includes('text/html'))
        return sendError({ ...answer, status }, request, reply)
      const { text } = reply.translator()
      const notice = isWrongMethod
        ? { title: text('onlyForms.title'), message: text('onlyForms.text') }
        : { title: text('missing.title'), message: text('missing.text') }
      return reply.code(status).page('notice', notice)
    },
  })
}
