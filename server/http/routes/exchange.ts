import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { HttpServices } from '../../services.ts'
import { readPresentedToken } from './client-authentication.ts'
import { bodyFailures, failures } from './schemas.ts'
import {
  accessTokenFields,
  accessTokenSchema,
  expiresAtSchema,
  renewedTokenFields,
  renewedTokenSchema,
} from './token-response.ts'

/** Also the body of the app API's swap. */
export const ExchangeRequest = Type.Object({
  min_ttl: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 999_999_999,
      description: 'Seconds that the access token must remain valid.',
    }),
  ),
  force: Type.Optional(
    Type.Boolean({
      description: 'Get a new access token, because Ellipsis Drive rejected the last one.',
    }),
  ),
})

const schema = {
  operationId: 'exchange',
  tags: ['tokens'],
  summary: 'Swap a broker token',
  description: 'The shortest form of the swap, for public apps. The body may be omitted.',
  security: [{ brokerToken: [] }],
  body: ExchangeRequest,
  response: {
    200: Type.Object(
      { ...accessTokenSchema, expires_at: expiresAtSchema, ...renewedTokenSchema },
      { description: 'An access token.' },
    ),
    ...failures(
      'invalid_request',
      'unauthorized_client',
      'invalid_token',
      'invalid_client',
      'insufficient_scope',
      'reconnect_required',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
    ...bodyFailures,
  },
}

/** The shortest form of the swap, for public apps. */
export const exchangeRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { swap, clock } = services
  app.post(
    '/exchange',
    { schema, config: { isProtectedResource: true } },
    async (request, reply) => {
      const { min_ttl: minTtlSeconds, force } = request.body
      const presented = await readPresentedToken(request, reply, services)
      const answer = await swap.swap({ ...presented, minTtlSeconds, force })
      void reply.header('cache-control', 'no-store')
      const fields = accessTokenFields(answer.accessToken, answer.scope, clock)
      return answer.renewed ? { ...fields, ...renewedTokenFields(answer.renewed) } : fields
    },
  )
}
