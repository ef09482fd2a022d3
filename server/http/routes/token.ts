import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateClient, identifyClient, verifyProof } from './client-authentication.ts'
import { FORM, bodyFailures, failures, optionalText } from './schemas.ts'
import {
  TokenRequest,
  exchangeToken,
  issueAppToken,
  redeemCode,
  redeemDeviceCode,
  swapRefreshToken,
} from './token-grants.ts'
import { accessTokenSchema, expiresAtSchema, renewedTokenSchema } from './token-response.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code'

const TokenResponse = Type.Object(
  {
    ...accessTokenSchema,
    access_token: Type.String({
      description: 'Ellipsis Drive’s access token; for a code or a renewal, the broker token.',
    }),
    token_type: Type.Enum(['Bearer', 'DPoP'], {
      description: '`DPoP`: a broker token that is bound to the app’s key.',
    }),
    expires_at: Type.Optional(expiresAtSchema),
    refresh_token: optionalText(
      'For apps with `--tokens ellipsis`: the broker token to use from now on.',
    ),
    api_url: optionalText(
      'For a code: where to send requests for Ellipsis Drive, its API or, with `--access proxy`, the broker’s proxy.',
    ),
    id_token: optionalText('With the scope `openid`: who the user is, signed.'),
    issued_token_type: optionalText('Token exchange: the type of access_token.'),
    ...renewedTokenSchema,
  },
  { description: 'A token.' },
)

const schema = {
  operationId: 'token',
  tags: ['tokens'],
  summary: 'Redeem a code, swap, or renew',
  description: `The token endpoint: RFC 6749 3.2, RFC 8628 and RFC 8693. Grant types: \`authorization_code\`, \`refresh_token\`, \`client_credentials\`, \`${DEVICE_CODE}\`, and \`${TOKEN_EXCHANGE}\`.`,
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: TokenRequest,
  response: {
    200: TokenResponse,
    ...failures(
      'invalid_request',
      'invalid_grant',
      'authorization_pending',
      'expired_token',
      'invalid_dpop_proof',
      'use_dpop_nonce',
      'unauthorized_client',
      'unsupported_grant_type',
      'invalid_scope',
      'invalid_client',
      'reconnect_required',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
    ...bodyFailures,
  },
}

/** The token endpoint (RFC 6749 3.2, RFC 8628 3.4, RFC 8693 2). */
export const tokenRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  app.post('/oauth/token', { schema }, async (request, reply) => {
    void reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    const { body, ip: address } = request
    switch (body.grant_type) {
      case 'authorization_code': {
        const client = await authenticateClient(request, body, services)
        const proof = await verifyProof(request, reply, services)
        return redeemCode(body, { app: client, address, proof }, services)
      }
      case DEVICE_CODE: {
        const client = await authenticateClient(request, body, services)
        const proof = await verifyProof(request, reply, services)
        return redeemDeviceCode(body, { app: client, address, proof }, services)
      }
      case 'client_credentials': {
        const client = await authenticateClient(request, body, services)
        return issueAppToken(body, client, services)
      }
      case 'refresh_token': {
        request.dialect = 'refresh_token'
        const client = await identifyClient(request, body, services)
        const proof = await verifyProof(request, reply, services)
        return swapRefreshToken(body, { client, proof }, services)
      }
      case TOKEN_EXCHANGE: {
        request.dialect = 'token_exchange'
        const client = await identifyClient(request, body, services)
        const proof = await verifyProof(request, reply, services)
        return exchangeToken(body, { client, proof }, services)
      }
      default:
        throw new BrokerError('unsupported_grant_type')
    }
  })
}
