import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { networkOf } from '../../addresses.ts'
import { BrokerError } from '../../errors.ts'
import { mayBeProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'
import { readBearerToken, verifyProof } from './client-authentication.ts'
import { FORM, bodyFailures, failures, optionalText } from './schemas.ts'

const response = {
  200: Type.Object(
    {
      sub: Type.String({ description: 'The account: the same for every app of this broker.' }),
      preferred_username: optionalText('With scope `profile`: the name at Ellipsis Drive.'),
    },
    { description: 'Claims about the user.' },
  ),
  ...failures(
    'invalid_token',
    'insufficient_scope',
    'slow_down',
    'server_error',
    'temporarily_unavailable',
  ),
}

const schema = {
  operationId: 'userinfo',
  tags: ['tokens'],
  summary: 'Read who the user is',
  description:
    'OpenID Connect Core 5.3. Send the access token of the token response: the broker token or, for apps with `--tokens ellipsis`, Ellipsis Drive’s.',
  security: [{ brokerToken: [] }],
  response,
}

/** The userinfo endpoint (OpenID Connect Core 5.3). */
export const userinfoRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const config = { isProtectedResource: true }
  const answer = async (request: FastifyRequest, reply: FastifyReply, inForm?: string) => {
    void reply.header('cache-control', 'no-store')
    const { authorization } = request.headers
    const isShared = mayBeProxy(request, services.config.publicUrl)
    const network = isShared ? null : networkOf(request.ip)
    if (authorization === undefined && inForm !== undefined) {
      return services.userInfo.read(inForm, null, network)
    }
    const { token, bound } = readBearerToken(authorization)
    const proof = bound ? await verifyProof(request, reply, services, token) : null
    if (bound && proof === null) throw new BrokerError('invalid_dpop_proof')
    return services.userInfo.read(token, proof, network)
  }

  app.get('/oauth/userinfo', { schema, config }, (request, reply) => answer(request, reply))

  const body = Type.Object({
    access_token: optionalText('The token, if not in the Authorization header (RFC 6750 2.2).'),
  })
  const posted = {
    ...schema,
    ...{ operationId: 'userinfoByPost', consumes: [FORM], body },
    response: { ...response, ...bodyFailures },
  }
  app.post('/oauth/userinfo', { schema: posted, config }, (request, reply) =>
    answer(request, reply, request.body.access_token),
  )
}
