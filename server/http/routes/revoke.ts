import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { HttpServices } from '../../services.ts'
import { nameClient } from './client.ts'
import { FORM, failures, unreadable } from './schemas.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))

const Body = Type.Object({
  token: Type.String({
    minLength: 1,
    maxLength: 8192,
    description: 'The broker token, expired or not.',
  }),
  token_type_hint: text('Not needed.'),
  client_id: text('The app’s id.'),
  client_secret: text('Of a confidential app, unless it authenticates by Basic.'),
})

const schema = {
  operationId: 'revoke',
  tags: ['tokens'],
  summary: 'Give up a grant',
  description: 'RFC 7009. A token that means nothing here is no error: it is gone either way.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Body,
  response: {
    // No client reads it (RFC 7009 2.2), but some refuse what isn't JSON.
    200: Type.Object({}, { description: 'It is gone.' }),
    ...failures('invalid_request', 'invalid_client', 'slow_down', 'server_error'),
    ...unreadable,
  },
}

/** Gives up a grant (RFC 7009 2). A token that means nothing here is no error: it is gone either way. */
export const revokeRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  app.post('/oauth/revoke', { schema }, async (request, reply) => {
    const client = await nameClient(request, request.body, services)
    const presented = { brokerToken: request.body.token, client }
    const revoked = await services.swap.revoke(presented, request.ip)
    const limited = revoked ? null : await app.failures.count(request)
    if (limited) throw limited
    void reply.header('cache-control', 'no-store')
    return {}
  })
}
