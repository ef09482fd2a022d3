import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { PUSHED_NAMES } from '../../oauth/authorization-parameters.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateClient } from './client-authentication.ts'
import {
  FORM,
  bodyFailures,
  clientParameters,
  failures,
  lifetimeSeconds,
  optionalText,
} from './schemas.ts'

const DESCRIPTIONS: Partial<Record<string, string>> = {
  login_hint: 'The account that the user should connect: its username or id.',
  strict_account: '`true`: only that account. Another one ends in `access_denied`.',
  external_id: 'The app’s own id of the user, for confidential apps; 255 characters at most.',
}

const parameters = Object.fromEntries(
  PUSHED_NAMES.map((name) => [
    name,
    optionalText(DESCRIPTIONS[name] ?? 'As at the authorization endpoint.'),
  ]),
)

const schema = {
  operationId: 'pushAuthorizationRequest',
  tags: ['connect'],
  summary: 'Push an authorization request',
  description:
    'RFC 9126. The app sends its authorization request here, and then the browser to `/oauth/authorize` with `client_id` and `request_uri` alone.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Type.Object({ ...parameters, ...clientParameters }),
  response: {
    201: Type.Object(
      {
        request_uri: Type.String({ description: 'For the authorization endpoint.' }),
        expires_in: lifetimeSeconds('Seconds until it expires.'),
      },
      { description: 'The pushed request.' },
    ),
    ...failures(
      'invalid_request',
      'invalid_scope',
      'unsupported_response_type',
      'login_required',
      'request_not_supported',
      'registration_not_supported',
      'invalid_client',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
    ...bodyFailures,
  },
}

/** The pushed authorization request endpoint (RFC 9126 2). */
export const parRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  app.post('/oauth/par', { schema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const client = await authenticateClient(request, request.body, services)
    const pushed = await services.pushedRequests.push(client, request.body)
    void reply.code(201)
    return { request_uri: pushed.requestUri.reveal(), expires_in: pushed.expiresInSeconds }
  })
}
