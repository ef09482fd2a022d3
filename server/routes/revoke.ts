import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Services } from '../services.ts'
import { nameClient } from './client.ts'

const text = Type.Optional(Type.String())

const Body = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 8192 }),
  token_type_hint: text,
  client_id: text,
  client_secret: text,
})

/** Gives up a grant (RFC 7009 2). A token that means nothing here is no error: it is gone either way. */
export const revokeRoute: FastifyPluginAsyncTypebox<{ services: Services }> = async (
  app,
  { services },
) => {
  app.post('/oauth/revoke', { schema: { body: Body } }, async (request, reply) => {
    const client = await nameClient(request, request.body, services)
    const presented = { brokerToken: request.body.token, client }
    const revoked = await services.swap.revoke(presented, request.ip)
    const limited = revoked ? null : await app.failures.count(request)
    if (limited) throw limited
    return reply.header('cache-control', 'no-store').send()
  })
}
