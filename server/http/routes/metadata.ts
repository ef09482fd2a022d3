import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { SCOPE } from '../../oauth/authorize.ts'
import { DPOP_ALGORITHMS } from '../../oauth/dpop.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'
import type { HttpServices } from '../../services.ts'
import { DEVICE_CODE, TOKEN_EXCHANGE } from './token.ts'

const CLIENT_AUTHENTICATION = ['none', 'client_secret_basic', 'client_secret_post']

/** The authorization server metadata (RFC 8414 2). */
function metadata(publicUrl: string) {
  return {
    issuer: publicUrl,
    authorization_endpoint: `${publicUrl}/oauth/authorize`,
    token_endpoint: `${publicUrl}/oauth/token`,
    device_authorization_endpoint: `${publicUrl}/oauth/device_authorization`,
    revocation_endpoint: `${publicUrl}/oauth/revoke`,
    introspection_endpoint: `${publicUrl}/oauth/introspect`,
    jwks_uri: `${publicUrl}/.well-known/jwks.json`,
    scopes_supported: [SCOPE],
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', DEVICE_CODE, TOKEN_EXCHANGE],
    token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
    revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    code_challenge_methods_supported: ['S256'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
  }
}

const schema = {
  operationId: 'metadata',
  tags: ['discovery'],
  summary: 'Authorization server metadata',
  description: 'RFC 8414.',
  security: [],
  response: {
    200: Type.Object(
      {
        issuer: Type.String({ format: 'uri' }),
        authorization_endpoint: Type.String({ format: 'uri' }),
        token_endpoint: Type.String({ format: 'uri' }),
        grant_types_supported: Type.Array(Type.String()),
      },
      { description: 'Authorization server metadata.' },
    ),
  },
}

const keysSchema = {
  operationId: 'jwks',
  tags: ['discovery'],
  summary: 'Public keys that verify broker tokens',
  description: 'RFC 7517. Your own resource server can verify a broker token with them.',
  security: [],
  response: {
    200: Type.Object(
      {
        keys: Type.Array(
          Type.Object({
            kty: Type.Literal('OKP'),
            crv: Type.Literal('Ed25519'),
            x: Type.String(),
            kid: Type.String(),
          }),
        ),
      },
      { description: 'A key set.' },
    ),
  },
}

/** The well-known documents, public and readable from any origin. */
export const metadataRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { config, keys } },
) => {
  const { basePath, publicUrl } = config
  const document = metadata(publicUrl)
  const wellKnown = '/.well-known/oauth-authorization-server'

  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('cache-control', 'public, max-age=300')
  })
  allowAnyOrigin(app)
  // With a base path, at both URLs: below it, and with the path at the end (RFC 8414 3.1).
  const paths = basePath === '' ? [wellKnown] : [basePath + wellKnown, wellKnown + basePath]
  for (const path of paths) app.get(path, { schema }, async () => document)
  app.get(`${basePath}/.well-known/jwks.json`, { schema: keysSchema }, async () => keys.jwks())
}
