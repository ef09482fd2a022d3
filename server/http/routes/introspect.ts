import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { IntrospectedToken } from '../../oauth/introspect.ts'
import { BrokerError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateApp } from './client.ts'
import { FORM, failures, unreadable } from './schemas.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))
const seconds = (description: string) => Type.Optional(Type.Integer({ description }))

const Body = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 8192, description: 'The broker token.' }),
  token_type_hint: text('Not needed.'),
  client_id: text('The app’s id, unless it authenticates by Basic.'),
  client_secret: text('Its secret, unless it authenticates by Basic.'),
})

const Answer = Type.Object(
  {
    active: Type.Boolean({ description: 'Is it this app’s, and good?' }),
    scope: text('Always `projects`.'),
    client_id: text('The app’s id.'),
    token_type: text('How it is presented.'),
    iss: text('This broker.'),
    aud: text('This broker.'),
    sub: text('The connection.'),
    grant_id: text('The grant.'),
    jti: text('The token’s own id.'),
    iat: seconds('When it was issued, in Unix seconds.'),
    exp: seconds('When it ends, in Unix seconds.'),
    cnf: Type.Optional(
      Type.Object(
        { jkt: Type.String() },
        { description: 'The key that it is bound to (RFC 9449 6.2).' },
      ),
    ),
  },
  { description: 'What the token is; nothing but `active: false` where it is none of the app’s.' },
)

const schema = {
  operationId: 'introspect',
  tags: ['tokens'],
  summary: 'Look at a broker token',
  description:
    'RFC 7662, for confidential apps, and for broker tokens of their own. Looking uses nothing: the token is as good as before.',
  security: [{ client: [] }],
  consumes: [FORM],
  body: Body,
  response: {
    200: Answer,
    ...failures('invalid_request', 'invalid_client', 'slow_down', 'server_error'),
    ...unreadable,
  },
}

/** Tells a confidential app what its broker token is (RFC 7662 2). */
export const introspectRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { publicUrl } = services.config
  app.post('/oauth/introspect', { schema }, async (request, reply) => {
    const client = await authenticateApp(request, request.body, services)
    if (!client.confidential) {
      const description = 'Introspection is for apps with a secret: authenticate with it.'
      throw new BrokerError('invalid_client', { description })
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
  grant_id: claims.grantId,
  jti: claims.jti,
  iat: claims.iat,
  exp: claims.exp,
  ...(grant.jkt !== null && { cnf: { jkt: grant.jkt } }),
})
