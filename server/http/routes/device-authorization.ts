import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { networkOf } from '../../addresses.ts'
import { programLabel } from '../../connections/device-label.ts'
import { formatUserCode } from '../../oauth/user-code.ts'
import { mayBeProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'
import { authenticateClient } from './client-authentication.ts'
import {
  FORM,
  bodyFailures,
  checkScope,
  clientParameters,
  failures,
  lifetimeSeconds,
  scopeParameter,
} from './schemas.ts'

const DeviceAuthorizationResponse = Type.Object(
  {
    device_code: Type.String({ description: 'For polling the token endpoint.' }),
    user_code: Type.String({ description: 'The code that the user enters.' }),
    verification_uri: Type.String({ format: 'uri', description: 'Where the user enters it.' }),
    verification_uri_complete: Type.String({
      format: 'uri',
      description: 'The same with the code filled in, for a QR code.',
    }),
    expires_in: lifetimeSeconds('Lifetime of both codes in seconds.'),
    interval: Type.Integer({ description: 'Seconds to wait between polls.' }),
  },
  { description: 'The code for the user, and the code for polling.' },
)

const schema = {
  operationId: 'deviceAuthorization',
  tags: ['connect'],
  summary: 'Connect a user on another device',
  description:
    'RFC 8628, for programs without a browser: show the code and the URL, and poll the token endpoint until the user has decided. For apps registered with `--device`.',
  security: [{ client: [] }, {}],
  consumes: [FORM],
  body: Type.Object({ ...clientParameters, scope: scopeParameter }),
  response: {
    200: DeviceAuthorizationResponse,
    ...failures(
      'invalid_request',
      'invalid_scope',
      'unauthorized_client',
      'invalid_client',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
    ...bodyFailures,
  },
}

/** Starts a device flow (RFC 8628 3.1, 3.2). */
export const deviceAuthorizationRoute: FastifyPluginAsyncTypebox<{
  services: HttpServices
}> = async (app, { services }) => {
  const verificationUri = `${services.config.publicUrl}/device`
  app.post('/oauth/device_authorization', { schema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const client = await authenticateClient(request, request.body, services)
    const scope = checkScope(request.body)
    const device = programLabel(request.headers['user-agent'])
    const address = request.ip
    const network = mayBeProxy(request, services.config.publicUrl) ? '' : networkOf(address)
    const from = { device, address, network, scope }
    const started = await services.deviceFlow.start(client, from)
    const userCode = formatUserCode(started.userCode)
    return {
      device_code: started.deviceCode.reveal(),
      user_code: userCode,
      verification_uri: verificationUri,
      verification_uri_complete: `${verificationUri}?user_code=${userCode}`,
      expires_in: started.expiresIn,
      interval: started.interval,
    }
  })
}
