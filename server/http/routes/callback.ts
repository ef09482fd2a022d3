import type { FastifyPluginAsync } from 'fastify'
import { BrokerError } from '../../errors.ts'
import { takeFlowCookie } from '../plugins/flow-cookies.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { page, redirect } from './schemas.ts'

const schema = {
  operationId: 'callback',
  tags: ['connect'],
  summary: 'Where Ellipsis Drive returns',
  description: 'Register it there as the callback URL. Nothing else has business here.',
  security: [],
  response: {
    200: page('The end of a plain link: connected.'),
    303: redirect('Back to the app, with a code or an error.'),
    400: page('No flow of this browser is under way here.'),
    429: page('This address has failed too often; Retry-After says how long to wait.'),
    503: page('Ellipsis Drive is away; connect again later.'),
  },
}

/** Where Ellipsis Drive returns. */
export const callbackRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { config, connect } },
) => {
  const secure = config.publicUrl.startsWith('https:')

  app.addHook('onRequest', app.failures.check)
  app.get('/callback', { schema, config: { page: true } }, async (request, reply) => {
    const { state, code, error } = request.query as Record<string, unknown>
    if (typeof state !== 'string' || state === '') {
      const description =
        'Ellipsis Drive sent you here without saying what for. Go back to the app.'
      throw new BrokerError('invalid_request', { description })
    }
    const finished = await connect.finish({
      state,
      browserSecret: takeFlowCookie(request, reply, state, secure),
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
  })
}
