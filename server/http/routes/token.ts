import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateApp, nameClient } from './client.ts'
import { readProof } from './proof.ts'
import {
  FORM,
  accessTokenFields,
  expiresAt,
  failures,
  renewedTokenFields,
  unreadable,
} from './schemas.ts'
import { Body } from './token/body.ts'
import { redeemCode, redeemDeviceCode } from './token/redeem.ts'
import { exchange, refresh } from './token/swap.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))

const Answer = Type.Object(
  {
    ...accessTokenFields,
    access_token: Type.String({
      description: 'Ellipsis Drive’s access token; of a code or a renewal, the broker token.',
    }),
    token_type: Type.Enum(['Bearer', 'DPoP'], {
      description: '`DPoP`: a broker token that is bound to the app’s key.',
    }),
    expires_at: Type.Optional(expiresAt),
    refresh_token: text('For apps served as plain OAuth: the broker token to use from now on.'),
    issued_token_type: text('Token exchange: what access_token is.'),
    ...renewedTokenFields,
  },
  { description: 'A token.' },
)

const schema = {
  operationId: 'token',
  tags: ['tokens'],
  summary: 'Redeem a code, swap, or renew',
  description:
    'RFC 6749 3.2, RFC 8628 and RFC 8693: `authorization_code`, `refresh_token`, `urn:ietf:params:oauth:grant-type:device_code`, or `urn:ietf:params:oauth:grant-type:token-exchange`.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Body,
  response: {
    200: Answer,
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
    ...unreadable,
  },
}

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code'

/** The token endpoint (RFC 6749 3.2, RFC 8693 2). */
export const tokenRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  app.post('/oauth/token', { schema }, async (request, reply) => {
    void reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    const { body, ip: address } = request
    switch (body.grant_type) {
      case 'authorization_code': {
        const client = await authenticateApp(request, body, services)
        const proof = await readProof(request, reply, services)
        return redeemCode(body, { app: client, address, proof }, services)
      }
      case DEVICE_CODE: {
        const client = await authenticateApp(request, body, services)
        const proof = await readProof(request, reply, services)
        return redeemDeviceCode(body, { app: client, address, proof }, services)
      }
      case 'refresh_token': {
        request.dialect = 'refresh_token'
        const client = await nameClient(request, body, services)
        const proof = await readProof(request, reply, services)
        return refresh(body, { client, proof }, services)
      }
      case TOKEN_EXCHANGE: {
        request.dialect = 'token_exchange'
        const client = await nameClient(request, body, services)
        const proof = await readProof(request, reply, services)
        return exchange(body, { client, proof }, services)
      }
      default:
        throw new BrokerError('unsupported_grant_type')
    }
  })
}
