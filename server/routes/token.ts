import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Static } from 'typebox'
import type { App } from '../../db/store.ts'
import type { NamedClient } from '../domain/swap.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Services } from '../services.ts'
import { authenticateApp, nameClient } from './client.ts'
import {
  FORM,
  accessTokenFields,
  expiresAt,
  failures,
  renewedTokenFields,
  unreadable,
} from './schemas.ts'
import { accessTokenAnswer, renewedFields } from './swap-answer.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))

/** Every parameter of every grant; each grant says which it needs. Unknown ones are ignored (RFC 6749 3.2). */
const Body = Type.Object({
  grant_type: Type.String({ description: 'Which of the ways below.' }),
  client_id: text('The app’s id.'),
  client_secret: text('Of a confidential app, unless it authenticates by Basic.'),
  code: text('authorization_code: as it came back to the app.'),
  code_verifier: text('authorization_code: what the challenge was made from.'),
  redirect_uri: text('authorization_code: as it was sent to /oauth/authorize.'),
  refresh_token: text('refresh_token: the broker token.'),
  scope: text('Always `projects`, or left out.'),
  subject_token: text('Token exchange: the broker token.'),
  subject_token_type: text('Token exchange: `urn:ietf:params:oauth:token-type:jwt`.'),
  requested_token_type: text(
    'Token exchange: `urn:ietf:params:oauth:token-type:jwt` for a renewed broker token.',
  ),
  min_ttl: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,9}$',
      description: 'Swaps: seconds that the access token must be valid for.',
    }),
  ),
  force: Type.Optional(
    Type.Union([Type.Literal('true'), Type.Literal('false')], {
      description: 'Swaps: fetch a new access token, as Ellipsis Drive refused the last.',
    }),
  ),
})
type Body = Static<typeof Body>

const Answer = Type.Object(
  {
    ...accessTokenFields,
    access_token: Type.String({
      description: 'Ellipsis Drive’s access token; of a code or a renewal, the broker token.',
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
    'RFC 6749 3.2 and RFC 8693: `authorization_code`, `refresh_token`, or `urn:ietf:params:oauth:grant-type:token-exchange`.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Body,
  response: {
    200: Answer,
    ...failures(
      'invalid_request',
      'invalid_grant',
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
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

/** The token endpoint (RFC 6749 3.2, RFC 8693 2). */
export const tokenRoute: FastifyPluginAsyncTypebox<{ services: Services }> = async (
  app,
  { services },
) => {
  app.post('/oauth/token', { schema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const { body, ip: address } = request
    switch (body.grant_type) {
      case 'authorization_code': {
        const client = await authenticateApp(request, body, services)
        return redeem(body, client, address, services)
      }
      case 'refresh_token': {
        request.dialect = 'refresh_token'
        const client = await nameClient(request, body, services)
        return refresh(body, client, services)
      }
      case TOKEN_EXCHANGE: {
        request.dialect = 'token_exchange'
        const client = await nameClient(request, body, services)
        return exchange(body, client, services)
      }
      default:
        throw new BrokerError('unsupported_grant_type')
    }
  })
}

/** authorization_code: a grant begins. */
async function redeem(body: Body, app: App, address: string, services: Services) {
  const code = required(body, 'code')
  const verifier = required(body, 'code_verifier')
  const redemption = { app, code, verifier, redirectUri: body.redirect_uri, address }
  if (app.tokens === 'ellipsis') return redeemAsEllipsis(redemption, services)
  const { grant, token, expiresIn } = await services.redeem.redeem(redemption)
  return { access_token: token, token_type: 'Bearer', expires_in: expiresIn, scope: grant.scope }
}

/** The access token comes first: while Ellipsis Drive is away, the code stays good. */
async function redeemAsEllipsis(
  redemption: Parameters<Services['redeem']['redeem']>[0],
  services: Services,
) {
  const { refresher, config, clock } = services
  const { minTtlSeconds } = config
  const need = { minTtlSeconds, since: null, evenIfPaused: false, appId: redemption.app.id }
  let accessToken: Awaited<ReturnType<typeof refresher.get>> | undefined
  const { grant, token } = await services.redeem.redeem(redemption, async ({ connectionId }) => {
    accessToken = await refresher.get(connectionId, need)
  })
  if (!accessToken) throw new Error('redeemed without an access token')
  const { token_type, access_token, expires_in } = accessTokenAnswer(
    accessToken,
    grant.scope,
    clock,
  )
  return { access_token, token_type, expires_in, scope: grant.scope, refresh_token: token }
}

/** refresh_token: the swap of RFC 6749's own form, for apps served with `--tokens ellipsis`. */
async function refresh(body: Body, client: NamedClient | null, { swap, clock }: Services) {
  checkScope(body)
  const brokerToken = required(body, 'refresh_token').reveal()
  const answer = await swap.swap({
    brokerToken,
    client,
    ...swapOptions(body),
    asRefreshToken: true,
  })
  const fields = accessTokenAnswer(answer.accessToken, answer.scope, clock)
  const { access_token, token_type, expires_in, scope } = fields
  const refresh_token = answer.renewed?.token ?? brokerToken
  return { access_token, token_type, expires_in, scope, refresh_token }
}

/** Token exchange: broker token in; Ellipsis Drive's access token, or a newer broker token, out. */
async function exchange(body: Body, client: NamedClient | null, { swap, clock }: Services) {
  checkScope(body)
  const brokerToken = required(body, 'subject_token').reveal()
  const type = required(body, 'subject_token_type').reveal()
  if (type !== JWT_TYPE && type !== ACCESS_TOKEN_TYPE) {
    throw invalid(`Use subject_token_type=${JWT_TYPE}.`)
  }
  const wanted = body.requested_token_type ?? ACCESS_TOKEN_TYPE
  if (wanted === JWT_TYPE) {
    const { renewed, scope } = await swap.renew({ brokerToken, client })
    const issued = { access_token: renewed.token, issued_token_type: JWT_TYPE }
    return { ...issued, token_type: 'Bearer', expires_in: renewed.expiresIn, scope }
  }
  if (wanted !== ACCESS_TOKEN_TYPE) {
    throw invalid(`Use requested_token_type=${ACCESS_TOKEN_TYPE}, or ${JWT_TYPE} to renew.`)
  }
  const answer = await swap.swap({ brokerToken, client, ...swapOptions(body) })
  const fields = accessTokenAnswer(answer.accessToken, answer.scope, clock)
  return { ...fields, issued_token_type: ACCESS_TOKEN_TYPE, ...renewedFields(answer.renewed) }
}

const swapOptions = ({ min_ttl, force }: Body) => ({
  minTtlSeconds: min_ttl === undefined ? undefined : Number(min_ttl),
  force: force === 'true',
})

function checkScope({ scope }: Body): void {
  if (scope !== undefined && scope !== 'projects') throw new BrokerError('invalid_scope')
}

function required(
  body: Body,
  name: 'code' | 'code_verifier' | 'refresh_token' | 'subject_token' | 'subject_token_type',
): Secret {
  const value = body[name]
  if (value === undefined || value === '') throw invalid(`Send ${name}.`)
  return new Secret(value)
}

const invalid = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })
