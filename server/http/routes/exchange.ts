import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { readProof } from './proof.ts'
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
export const exchangeRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { swap, clock } = services
  app.post('/exchange', { schema, preValidation: emptyBody }, async (request, reply) => {
    const { min_ttl: minTtlSeconds, force } = request.body
    const { brokerToken, bound } = presented(request.headers.authorization)
    const proof = bound ? await readProof(request, reply, services, brokerToken) : null
    if (bound && proof === null)
      throw new BrokerError('invalid_dpop_proof', { description: NO_PROOF })
    const answer = await swap.swap({ brokerToken, client: null, proof, minTtlSeconds, force })
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

const NO_PROOF = 'Send a DPoP proof in the DPoP header.'

/** The token, as a bearer token (RFC 6750 2.1), or as one that is bound to a key (RFC 9449 7.1). */
function presented(header: string | undefined): { brokerToken: string; bound: boolean } {
  const [, scheme, brokerToken] = /^(Bearer|DPoP) +([^ ]+)$/i.exec(header ?? '') ?? []
  if (scheme === undefined || brokerToken === undefined) {
    const description = 'Send the broker token: Authorization: Bearer …'
    throw new BrokerError('token_refused', { description })
  }
  return { brokerToken, bound: scheme.toLowerCase() === 'dpop' }
}
