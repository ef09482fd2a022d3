import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { LANGUAGES } from '../../../views/translate.ts'
import { isLoopbackHost } from '../../addresses.ts'
import { SCOPES } from '../../oauth/scope.ts'
import { ASSERTION_ALGORITHMS } from '../../oauth/client-assertion.ts'
import { DPOP_ALGORITHMS } from '../../oauth/dpop.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'
import type { Log } from '../../log.ts'
import type { HttpServices } from '../../services.ts'
import { DEVICE_CODE, TOKEN_EXCHANGE } from './token.ts'

const CLAIMS = [
  ...['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'nonce', 'at_hash'],
  'preferred_username',
]

const CONFIDENTIAL = ['client_secret_basic', 'client_secret_post', 'private_key_jwt']
const CLIENT_AUTHENTICATION = ['none', ...CONFIDENTIAL]

/** The metadata of authorization server and OpenID provider (RFC 8414 2, OpenID Connect Discovery 3). */
function metadata(publicUrl: string) {
  return {
    issuer: publicUrl,
    authorization_endpoint: `${publicUrl}/oauth/authorize`,
    token_endpoint: `${publicUrl}/oauth/token`,
    device_authorization_endpoint: `${publicUrl}/oauth/device_authorization`,
    pushed_authorization_request_endpoint: `${publicUrl}/oauth/par`,
    require_pushed_authorization_requests: false,
    revocation_endpoint: `${publicUrl}/oauth/revoke`,
    introspection_endpoint: `${publicUrl}/oauth/introspect`,
    jwks_uri: `${publicUrl}/.well-known/jwks.json`,
    scopes_supported: SCOPES,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: [
      ...['authorization_code', 'refresh_token', 'client_credentials'],
      ...[DEVICE_CODE, TOKEN_EXCHANGE],
    ],
    token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
    revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
    introspection_endpoint_auth_methods_supported: CONFIDENTIAL,
    token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    code_challenge_methods_supported: ['S256'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
    userinfo_endpoint: `${publicUrl}/oauth/userinfo`,
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    claim_types_supported: ['normal'],
    claims_supported: CLAIMS,
    claims_parameter_supported: false,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    prompt_values_supported: ['none', 'login', 'consent'],
    ui_locales_supported: LANGUAGES,
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

/** The well-known documents with the metadata, by path. */
const documents = {
  '/.well-known/oauth-authorization-server': schema,
  '/.well-known/openid-configuration': {
    ...schema,
    operationId: 'openidConfiguration',
    summary: 'OpenID provider metadata',
    description: 'OpenID Connect Discovery 4.',
  },
}

const keysSchema = {
  operationId: 'jwks',
  tags: ['discovery'],
  summary: 'Public keys that verify broker tokens and ID tokens',
  description: 'RFC 7517. EdDSA keys sign broker tokens, RS256 keys ID tokens.',
  security: [],
  response: {
    200: Type.Object(
      {
        keys: Type.Array(
          Type.Object({
            kty: Type.Enum(['OKP', 'RSA']),
            alg: Type.Enum(['EdDSA', 'RS256']),
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
  { services: { config, keys, log } },
) => {
  const { basePath, publicUrl } = config
  const document = metadata(publicUrl)

  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('cache-control', 'public, max-age=300')
  })
  allowAnyOrigin(app)
  warnOfOtherName(app, publicUrl, log)
  // With a base path, at both URLs: below it (OpenID Connect Discovery 4), and at the end (RFC 8414 3.1).
  for (const [wellKnown, schema] of Object.entries(documents)) {
    const paths = new Set([basePath + wellKnown, wellKnown + basePath])
    for (const path of paths) app.get(path, { schema }, async () => document)
  }
  app.get(`${basePath}/.well-known/jwks.json`, { schema: keysSchema }, async () => keys.jwks())
}

/**
 * Developers mix the names of their machine, localhost and 127.0.0.1. Their library then refuses the metadata,
 * because it compares the issuer (RFC 8414 3.3); this line, logged once, says why.
 */
function warnOfOtherName(app: FastifyInstance, publicUrl: string, log: Log): void {
  const { hostname, host } = new URL(publicUrl)
  if (!isLoopbackHost(hostname)) return
  let isWarned = false
  app.addHook('onRequest', async (request) => {
    if (isWarned || request.host === host || !isLoopbackHost(request.hostname)) return
    isWarned = true
    const details = { requested: `${request.protocol}://${request.host}`, issuer: publicUrl }
    log.warn(details, `OAuth libraries compare the issuer: configure it as ${publicUrl}`)
  })
}
