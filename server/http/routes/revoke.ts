import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { HttpServices } from '../../services.ts'
import { identifyClient } from './client-authentication.ts'
import { clientFailures, clientParameters, FORM, optionalText, tokenParameter } from './schemas.ts'

const schema = {
  operationId: 'revoke',
  tags: ['tokens'],
  summary: 'Revoke a grant',
  description: 'RFC 7009. An unknown token gets the same answer as a revoked one.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Type.Object({
    token: tokenParameter('The broker token, expired or not.'),
    token_type_hint: optionalText('Ignored.'),
    ...clientParameters,
  }),
  response: {
    // Clients ignore the body (RFC 7009 2.2), but some require JSON.
    200: Type.Object({}, { description: 'The grant is revoked.' }),
    ...clientFailures,
  },
}

/** Revokes a grant (RFC 7009 2). An unknown token is not an error, but counts as a failure. */
export const revokeRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  app.post('/oauth/revoke', { schema }, async (request, reply) => {
    const client = await identifyClient(request, request.body, services)
    const presented = { brokerToken: request.body.token, client }
    const revoked = await services.swap.revoke(presented, request.ip)
    const limitError = revoked ? null : await app.failureLimits.count(request)
    if (limitError) throw limitError
    void reply.header('cache-control', 'no-store')
    return {}
  })
}
