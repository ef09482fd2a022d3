import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { IntrospectedToken } from '../../oauth/introspect.ts'
import { BrokerError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateClient } from './client-authentication.ts'
import { clientFailures, clientParameters, FORM, optionalText, tokenParameter } from './schemas.ts'

const unixSeconds = (description: string) => Type.Optional(Type.Integer({ description }))

const IntrospectionResponse = Type.Object(
  {
    active: Type.Boolean({ description: 'Is it a valid broker token of this app?' }),
    scope: optionalText('The granted scope.'),
    client_id: optionalText('The app’s id.'),
    token_type: optionalText('`Bearer` or `DPoP`.'),
    iss: optionalText('This broker.'),
    aud: optionalText('This broker.'),
    sub: optionalText('The connection’s id.'),
    account_sub: optionalText('The account’s subject, as in ID tokens.'),
    grant_id: optionalText('The grant’s id.'),
    jti: optionalText('The token’s id.'),
    iat: unixSeconds('Time of issue in Unix seconds.'),
    exp: unixSeconds('Expiry in Unix seconds.'),
    cnf: Type.Optional(
      Type.Object(
        { jkt: Type.String() },
        { description: 'The key that the token is bound to (RFC 9449 6.2).' },
      ),
    ),
  },
  {
    description: 'The token’s state; only `active: false` if it is not a valid token of this app.',
  },
)

const schema = {
  operationId: 'introspect',
  tags: ['tokens'],
  summary: 'Introspect a broker token',
  description:
    'RFC 7662, for confidential apps and their own broker tokens. It does not count as use of the token.',
  security: [{ client: [] }],
  consumes: [FORM],
  body: Type.Object({
    token: tokenParameter('The broker token.'),
    token_type_hint: optionalText('Ignored.'),
    ...clientParameters,
  }),
  response: {
    200: IntrospectionResponse,
    ...clientFailures,
  },
}

/** Describes a confidential app's broker token (RFC 7662 2). */
export const introspectRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { publicUrl } = services.config
  app.post('/oauth/introspect', { schema }, async (request, reply) => {
    const client = await authenticateClient(request, request.body, services)
    if (!client.confidential) {
      const description =
        'Only confidential apps may introspect tokens. Authenticate with the client secret.'
      throw new BrokerError('invalid_client', { description, reason: 'public_client' })
    }
    void reply.header('cache-control', 'no-store')
    const found = await services.introspect.introspect(request.body.token, client.id)
    return found ? describe(found, publicUrl) : { active: false }
  })
}

const describe = ({ claims, grant }: IntrospectedToken, publicUrl: string) => ({
  active: true,
  scope: grant.scope,
  client_id: claims.clientId,
  token_type: grant.jkt === null ? 'Bearer' : 'DPoP',
  iss: publicUrl,
  aud: publicUrl,
  sub: claims.sub,
  ...(claims.accountSub !== undefined && { account_sub: claims.accountSub }),
  grant_id: claims.grantId,
  jti: claims.jti,
  iat: claims.iat,
  exp: claims.exp,
  ...(grant.jkt !== null && { cnf: { jkt: grant.jkt } }),
})
