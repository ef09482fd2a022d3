import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { programLabel } from '../../connections/device-label.ts'
import { formatUserCode } from '../../oauth/user-code.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateApp } from './client.ts'
import { FORM, failures, unreadable } from './schemas.ts'
import { checkScope } from './token/body.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))

const Body = Type.Object({
  client_id: text('The app’s id.'),
  client_secret: text('Of a confidential app, unless it authenticates by Basic.'),
  scope: text('Always `projects`, or left out.'),
})

const Answer = Type.Object(
  {
    device_code: Type.String({ description: 'What to poll the token endpoint with.' }),
    user_code: Type.String({ description: 'What the user types.' }),
    verification_uri: Type.String({ format: 'uri', description: 'Where the user types it.' }),
    verification_uri_complete: Type.String({
      format: 'uri',
      description: 'The same with the code in it, for a QR code.',
    }),
    expires_in: Type.Integer({ description: 'Seconds that both codes live.' }),
    interval: Type.Integer({ description: 'Seconds to wait between two polls.' }),
  },
  { description: 'What to show the user, and what to poll with.' },
)

const schema = {
  operationId: 'deviceAuthorization',
  tags: ['connect'],
  summary: 'Connect a user on another device',
  description:
    'RFC 8628, for programs without a browser: show the code and the address, and poll the token endpoint until the user has answered. For apps registered with `--device`.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Body,
  response: {
    200: Answer,
    ...failures(
      'invalid_request',
      'invalid_scope',
      'unauthorized_client',
      'invalid_client',
      'slow_down',
      'server_error',
    ),
    ...unreadable,
  },
}

/** Begins a device flow (RFC 8628 3.1, 3.2). */
export const deviceAuthorizationRoute: FastifyPluginAsyncTypebox<{
  services: HttpServices
}> = async (app, { services }) => {
  const address = `${services.config.publicUrl}/device`
  app.post('/oauth/device_authorization', { schema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const client = await authenticateApp(request, request.body, services)
    checkScope(request.body)
    const device = programLabel(request.headers['user-agent'])
    const started = await services.deviceFlow.start(client, { device, address: request.ip })
    const userCode = formatUserCode(started.userCode)
    return {
      device_code: started.deviceCode.reveal(),
      user_code: userCode,
      verification_uri: address,
      verification_uri_complete: `${address}?user_code=${userCode}`,
      expires_in: started.expiresIn,
      interval: started.interval,
    }
  })
}
