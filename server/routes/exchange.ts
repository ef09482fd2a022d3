import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../errors.ts'
import type { Services } from '../services.ts'
import { accessTokenAnswer, renewedFields } from './swap-answer.ts'

const Body = Type.Object({
  min_ttl: Type.Optional(Type.Integer({ minimum: 0, maximum: 999_999_999 })),
  force: Type.Optional(Type.Boolean()),
})

const Answer = Type.Object({
  access_token: Type.String(),
  token_type: Type.String(),
  expires_in: Type.Integer(),
  expires_at: Type.Integer(),
  scope: Type.String(),
  broker_token: Type.Optional(Type.String()),
  broker_token_expires_in: Type.Optional(Type.Integer()),
})

/** The swap in one line, for public apps. */
export const exchangeRoute: FastifyPluginAsyncTypebox<{ services: Services }> = async (
  app,
  { services: { swap, clock } },
) => {
  const schema = { body: Body, response: { 200: Answer } }
  // Of so small an answer, JSON.stringify makes quicker work than a serializer made from the schema.
  const options = { schema, preValidation: emptyBody, serializerCompiler: () => JSON.stringify }
  app.post('/exchange', options, async (request, reply) => {
    const { min_ttl: minTtlSeconds, force } = request.body
    const brokerToken = bearer(request.headers.authorization)
    const answer = await swap.swap({ brokerToken, client: null, minTtlSeconds, force })
    void reply.header('cache-control', 'no-store')
    const fields = accessTokenAnswer(answer.accessToken, answer.scope, clock)
    return answer.renewed ? { ...fields, ...renewedFields(answer.renewed) } : fields
  })
}

/** The body may be left out. */
function emptyBody(request: { body: unknown }, _reply: unknown, done: () => void): void {
  request.body ??= {}
  done()
}

function bearer(header: string | undefined): string {
  const token = /^Bearer +([^ ]+)$/i.exec(header ?? '')?.[1]
  if (token === undefined) {
    const description = 'Send the broker token: Authorization: Bearer …'
    throw new BrokerError('token_refused', { description })
  }
  return token
}
