import type { FastifyPluginAsync } from 'fastify'
import { BrokerError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { page, redirect, tooManyFailures } from './schemas.ts'
import { readFlowCookie } from './upstream-flow.ts'

const schema = {
  operationId: 'callback',
  tags: ['connect'],
  summary: 'Callback for Ellipsis Drive',
  description: 'Register this URL as the callback at Ellipsis Drive. Apps do not call it.',
  security: [],
  response: {
    200: page('The user is connected, after a plain link or a device flow.'),
    303: redirect('Back to the app, with a code or an error.'),
    400: page('This browser has no flow in progress.'),
    429: tooManyFailures,
    503: page('Ellipsis Drive is unavailable; connect again later.'),
  },
}

/** Where Ellipsis Drive redirects the user after authorization. */
export const callbackRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { config, connect } },
) => {
  app.addHook('onRequest', app.failureLimits.check)
  app.get(
    '/callback',
    { schema, config: { page: true, anyName: true } },
    async (request, reply) => {
      const { state, code, error } = request.query as Record<string, unknown>
      if (typeof state !== 'string' || state === '') {
        const description =
          'The redirect from Ellipsis Drive has no state. Go back to the app and connect again.'
        throw new BrokerError('invalid_request', { description })
      }
      const finished = await connect.finish({
        state,
        browserSecret: readFlowCookie(request, state, config),
        code: typeof code === 'string' && code !== '' ? new Secret(code) : undefined,
        error: typeof error === 'string' ? error : undefined,
        address: request.ip,
      })
      if (finished.kind === 'redirect') return reply.redirect(finished.location, 303)
      if (finished.kind === 'connected') {
        const { kind, ...page } = finished
        return reply.page('connected', { ...page, operator: config.operator })
      }
      const { kind, ...page } = finished
      return reply.page('refused', page)
    },
  )
}
