import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { HttpServices } from '../../services.ts'
import { failures, lifetimeSeconds, optionalText } from './schemas.ts'
import { clearSessionCookie, readSession, readSessionRequest } from './session-cookie.ts'

const common = {
  tags: ['tokens'],
  security: [{ session: [], clientId: [] }],
}

const readSchema = {
  ...common,
  operationId: 'session',
  summary: 'Read the session',
  description:
    'For apps with `--session cookie`: is the user connected in this browser? Call it from a page of the app with `credentials: "include"` and the header `x-client-id`.',
  response: {
    200: Type.Object(
      {
        client_id: Type.String({ description: 'The app’s id.' }),
        username: optionalText('With scope `profile`: the name at Ellipsis Drive.'),
        scope: Type.String({ description: 'What the user granted.' }),
        expires_at: lifetimeSeconds('When the session ends unless it is used, Unix seconds.'),
      },
      { description: 'The session.' },
    ),
    ...failures(
      'invalid_request',
      'unauthorized_client',
      'invalid_token',
      'access_denied',
      'reconnect_required',
      'slow_down',
      'server_error',
    ),
  },
}

const endSchema = {
  ...common,
  operationId: 'endSession',
  summary: 'End the session',
  description:
    'Signs the user out of the app in this browser: revokes the grant, clears the cookie.',
  response: {
    204: { type: 'null', description: 'There is no session any more.' },
    ...failures('invalid_request', 'unauthorized_client', 'access_denied', 'server_error'),
  },
}

/** The session of an app whose token is in a cookie of the broker. */
export const sessionRoutes: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { appSessions, swap } = services
  const config = { isProtectedResource: true, acceptsSession: true }

  app.get('/session', { schema: readSchema, config }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const { session } = await readSession(request, reply, services)
    return appSessions.describe(session)
  })

  app.delete('/session', { schema: endSchema, config }, async (request, reply) => {
    const { token, ...page } = readSessionRequest(request, services.config)
    await appSessions.checkOrigin(page)
    const client = { id: page.appId, authenticated: false }
    if (token !== null) {
      await swap.revoke({ brokerToken: token.reveal(), client }, request.ip)
      clearSessionCookie(reply, page.appId, services.config)
    }
    return reply.header('cache-control', 'no-store').code(204).send()
  })
}
