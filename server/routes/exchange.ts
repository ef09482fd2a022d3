import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../errors.ts'
import type { Services } from '../services.ts'
import {
  accessTokenFields,
  expiresAt,
  failures,
  renewedTokenFields,
  unreadable,
} from './schemas.ts'
import { accessTokenAnswer, renewedFields } from './swap-answer.ts'

const Body = Type.Object({
  min_ttl: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 999_999_999,
      description: 'Seconds that the access token must be valid for.',
    }),
  ),
  force: Type.Optional(
    Type.Boolean({ description: 'Fetch a new one, as Ellipsis Drive refused the last.' }),
  ),
})

const Answer = Type.Object(
  { ...accessTokenFields, expires_at: expiresAt, ...renewedTokenFields },
  { description: 'An access token.' },
)

const schema = {
  operationId: 'exchange',
  tags: ['tokens'],
  summary: 'Swap a broker token',
  description: 'The swap in one line, for public apps. The body may be left out.',
  security: [{ brokerToken: [] }],
  body: Body,
  response: {
    200: Answer,
    ...failures(
      'invalid_request',
      'invalid_token',
      'invalid_client',
      'reconnect_required',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
    ...unreadable,
  },
}

/** The swap in one line, for public apps. */
export const exchangeRoute: FastifyPluginAsyncTypebox<{ services: Services }> = async (
  app,
  { services: { swap, clock } },
) => {
  app.post('/exchange', { schema, preValidation: emptyBody }, async (request, reply) => {
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
