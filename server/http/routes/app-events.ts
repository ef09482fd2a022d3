import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { HttpServices } from '../../services.ts'
import { appApiConfig, limitSchema, nullable, prepareAppApi, readLimit } from './app-api.ts'
import { failures } from './schemas.ts'

const nullableText = (description: string) => nullable(Type.String({ description }))

const Event = Type.Object(
  {
    id: Type.String({ description: 'As `webhook-id`. The same in every delivery of the event.' }),
    type: Type.String({ description: 'Such as `connection.revoked`. More types may be added.' }),
    timestamp: Type.String({ format: 'date-time', description: 'When it happened.' }),
    data: Type.Object({
      connection_id: nullableText('The connected account: `sub` of broker tokens.'),
      app_id: nullableText('Your `client_id`.'),
      grant_id: nullableText('The grant; `null`: all of your grants on the connection.'),
      external_id: nullableText('Your own id of the user.'),
      sequence: nullable(Type.Integer({ description: 'Counts the events of the connection.' })),
    }),
  },
  { description: 'An event, as webhooks get it.' },
)

const schema = {
  tags: ['events'],
  security: [{ appToken: [] }],
  operationId: 'listEvents',
  summary: 'List the app’s events',
  description:
    'In the order in which they happened. Send `next`, or the id of the last event that you got, as `after`: no event is missed, and none comes twice. `next: null`: there are no more at present.',
  querystring: Type.Object({
    after: Type.Optional(
      Type.String({ maxLength: 100, description: '`next` of the last page, or an event’s id.' }),
    ),
    limit: limitSchema('Events'),
  }),
  response: {
    200: Type.Object(
      { events: Type.Array(Event), next: nullableText('A cursor.') },
      { description: 'A page of events.' },
    ),
    ...failures('invalid_request', 'invalid_token', 'slow_down', 'server_error'),
  },
}

/** An offline app's own events, for those who poll instead of running a webhook receiver. */
export const appEventsRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { authenticate } = prepareAppApi(app, services)

  app.get('/v1/events', { schema, config: appApiConfig }, async (request) => {
    const { id: appId } = await authenticate(request)
    const { after = null, limit } = request.query
    return services.feed.list({ after, appId, limit: readLimit(limit) })
  })
}
