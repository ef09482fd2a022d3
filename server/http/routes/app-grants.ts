import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { AppGrant } from '../../oauth/app-grants.ts'
import { MAX_EXTERNAL_ID_LENGTH_CHARS } from '../../oauth/external-id.ts'
import type { HttpServices } from '../../services.ts'
import { appApiConfig, limitSchema, nullable, prepareAppApi, readLimit } from './app-api.ts'
import { ExchangeRequest } from './exchange.ts'
import { bodyFailures, failure, failures } from './schemas.ts'
import { accessTokenFields, accessTokenSchema, expiresAtSchema } from './token-response.ts'

const externalId = Type.String({ minLength: 1, maxLength: MAX_EXTERNAL_ID_LENGTH_CHARS })
const STATUSES = ['active', 'needs_reconnect', 'revoked'] as const

const Grant = Type.Object(
  {
    grant_id: Type.String({ description: 'The grant’s id.' }),
    connection_id: Type.String({ description: 'The connected account: `sub` of broker tokens.' }),
    external_id: nullable(Type.String({ description: 'Your own id of the user.' })),
    username: Type.String({
      description:
        'The name at Ellipsis Drive. Empty: unknown, or neither the scope `profile` nor requests to `/account` are allowed.',
    }),
    status: Type.Enum([...STATUSES], {
      description: '`needs_reconnect`, `revoked`: send the user to `reconnect_url`.',
    }),
    device: Type.String({ description: 'Where the user connected, for people.' }),
    scope: Type.String({ description: 'The granted scope.' }),
    created_at: Type.Integer({ description: 'Unix seconds.' }),
    last_used_at: nullable(Type.Integer({ description: 'Unix seconds, to the minute.' })),
    reconnect_url: nullable(
      Type.String({ format: 'uri', description: 'Where the user can connect again.' }),
    ),
  },
  { description: 'A grant of the app.' },
)

const GrantId = Type.Object({ id: Type.String({ description: 'The grant’s id.' }) })

const documentation = { tags: ['grants'], security: [{ appToken: [] }] }
const readFailures = failures('invalid_request', 'invalid_token', 'slow_down', 'server_error')
const notFound = { 404: failure(404, ['invalid_request'], 'The app has no such grant.') }

const listSchema = {
  ...documentation,
  operationId: 'listGrants',
  summary: 'List the app’s grants',
  description:
    'By id. Send `next` as `after` for the next page. With `status`, a page may have fewer grants than `limit` although there are more: only `next: null` is the end.',
  querystring: Type.Object({
    external_id: Type.Optional(
      Type.String({ ...externalId, description: 'Only grants of this user of yours.' }),
    ),
    status: Type.Optional(Type.Enum([...STATUSES], { description: 'Only these.' })),
    after: Type.Optional(Type.String({ maxLength: 100, description: '`next` of the last page.' })),
    limit: limitSchema('Grants'),
  }),
  response: {
    200: Type.Object(
      { grants: Type.Array(Grant), next: nullable(Type.String({ description: 'A cursor.' })) },
      { description: 'A page of grants.' },
    ),
    ...readFailures,
  },
}

const getSchema = {
  ...documentation,
  operationId: 'getGrant',
  summary: 'Read a grant',
  params: GrantId,
  response: {
    200: Grant,
    ...failures('invalid_token', 'slow_down', 'server_error'),
    ...notFound,
  },
}

const patchSchema = {
  ...documentation,
  operationId: 'updateGrant',
  summary: 'Set your own id of a grant’s user',
  params: GrantId,
  body: Type.Object({
    external_id: Type.Union([externalId, Type.Null()], { description: '`null` removes it.' }),
  }),
  response: { 200: Grant, ...readFailures, ...notFound, ...bodyFailures },
}

const deleteSchema = {
  ...documentation,
  operationId: 'revokeGrant',
  summary: 'Revoke a grant by its id',
  description: 'The user’s other devices stay connected.',
  params: GrantId,
  response: {
    204: { description: 'The grant is revoked.', type: 'null' },
    ...failures('invalid_token', 'slow_down', 'server_error'),
    ...notFound,
  },
}

const tokenSchema = {
  ...documentation,
  operationId: 'grantToken',
  summary: 'Get an access token without the user',
  description:
    'As `/exchange`, without a broker token. Errors with `reconnect_url` concern the grant; `invalid_token` without it, the app token. The body may be omitted.',
  params: GrantId,
  body: ExchangeRequest,
  response: {
    200: Type.Object(
      { ...accessTokenSchema, expires_at: expiresAtSchema },
      { description: 'An access token.' },
    ),
    ...failures(
      'invalid_request',
      'invalid_token',
      'insufficient_scope',
      'reconnect_required',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
    ...notFound,
    ...bodyFailures,
  },
}

/** The app API: an offline app's grants, without its users. */
export const appGrantsRoutes: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { appGrants, swap, clock } = services
  const config = appApiConfig
  const { readClaims, authenticate } = prepareAppApi(app, services)

  app.get('/v1/grants', { schema: listSchema, config }, async (request) => {
    const client = await authenticate(request)
    const { external_id, status = null, after = null, limit } = request.query
    const query = { externalId: external_id ?? null, status, after, limit: readLimit(limit) }
    const { grants, next } = await appGrants.list(client, query)
    return { grants: grants.map(toJson), next }
  })

  app.get('/v1/grants/:id', { schema: getSchema, config }, async (request) => {
    const client = await authenticate(request)
    return toJson(await appGrants.get(client, request.params.id))
  })

  app.patch('/v1/grants/:id', { schema: patchSchema, config }, async (request) => {
    const client = await authenticate(request)
    const change = { externalId: request.body.external_id, address: request.ip }
    return toJson(await appGrants.setExternalId(client, request.params.id, change))
  })

  app.delete('/v1/grants/:id', { schema: deleteSchema, config }, async (request, reply) => {
    const client = await authenticate(request)
    await appGrants.revoke(client, request.params.id, request.ip)
    return reply.code(204).send()
  })

  app.post('/v1/grants/:id/token', { schema: tokenSchema, config }, async (request) => {
    const claims = await readClaims(request)
    const { min_ttl: minTtlSeconds, force } = request.body
    const answer = await swap.swapForApp({
      ...{ claims, grantId: request.params.id, minTtlSeconds, force },
    })
    return accessTokenFields(answer.accessToken, answer.scope, clock)
  })
}

const toJson = ({ grant, username, status, reconnectUrl }: AppGrant) => ({
  grant_id: grant.id,
  connection_id: grant.connectionId,
  external_id: grant.externalId,
  username,
  status,
  device: grant.device,
  scope: grant.scope,
  created_at: Math.floor(grant.createdAt / 1000),
  last_used_at: grant.lastUsedAt === null ? null : Math.floor(grant.lastUsedAt / 1000),
  reconnect_url: reconnectUrl,
})
