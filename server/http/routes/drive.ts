import type { FastifyPluginAsync, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Authorized } from '../../oauth/swap.ts'
import { readDrivePath } from '../../drive/path.ts'
import { BrokerError, publicError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { ALLOWED_HEADERS, EXPOSED_HEADERS } from '../plugins/cors.ts'
import { pathOf } from '../plugins/strict-requests.ts'
import { readCaller } from './client-authentication.ts'
import { hasRequestBody, sendDriveAnswer, toDriveRequest } from './drive-answer.ts'
import { failures } from './schemas.ts'

export const DRIVE_PATH = '/drive'
const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/** What map libraries send and read, besides what every endpoint for apps has. */
export const driveCors = {
  allowed: [
    ALLOWED_HEADERS,
    'accept, accept-language, cache-control, range, if-match, if-modified-since, if-none-match, if-range',
    'if-unmodified-since, content-disposition, content-encoding, content-language, content-range',
  ].join(', '),
  exposed: [
    EXPOSED_HEADERS,
    'ellipsis-broker-error, etag, last-modified, cache-control, accept-ranges, content-disposition',
    'content-encoding, content-language, content-length, content-range, location',
  ].join(', '),
}

/** Documents one method for all. */
const schema = {
  operationId: 'drive',
  tags: ['drive'],
  summary: 'Call the Ellipsis Drive API',
  description:
    'Also with HEAD, POST, PUT, PATCH and DELETE. Sends the request to the Ellipsis Drive API with an access token of the user, and streams its answer. Errors of the broker have the header `Ellipsis-Broker-Error`; every other answer is that of Ellipsis Drive.',
  security: [{ brokerToken: [] }],
  response: {
    200: {
      description: 'The answer of Ellipsis Drive, with its own status.',
      content: { 'application/json': { schema: {} }, '*/*': { schema: {} } },
    },
    ...failures(
      'invalid_request',
      'invalid_token',
      'invalid_client',
      'insufficient_scope',
      'reconnect_required',
      'slow_down',
      'server_error',
      'temporarily_unavailable',
    ),
  },
}

/** The proxy to the Ellipsis Drive API, for apps that hold a broker token. */
export const driveRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { swap, drive, config, metrics } = services
  const { uploadLimitBytes } = config
  const prefix = config.basePath + DRIVE_PATH

  // Bodies pass as they are, whatever they contain.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const caller = await authorize(request, reply)
    try {
      const path = readDrivePath(pathOf(request.originalUrl).slice(prefix.length))
      const driveRequest = toDriveRequest(request, reply, path, uploadLimitBytes)
      sendDriveAnswer(reply, await drive.forward(caller, driveRequest), prefix, metrics.drive)
    } catch (error) {
      throw await caller.explain(error)
    }
    return reply
  }

  const authorize = async (request: FastifyRequest, reply: FastifyReply): Promise<Authorized> => {
    try {
      return await swap.authorize(await readCaller(request, reply, services))
    } catch (error) {
      if (error instanceof BrokerError) metrics.drive.count(publicError(error).body.error)
      throw error
    }
  }

  /** A body that nobody reads is not read to its end, only to keep the connection. */
  app.addHook('onError', async (request, reply) => {
    if (hasRequestBody(request) && !request.raw.complete) void reply.header('connection', 'close')
  })

  const routeConfig = { isProtectedResource: true, isProxy: true, acceptsSession: true }
  for (const method of METHODS) {
    app.route({
      ...{ method, url: `${DRIVE_PATH}/*`, config: routeConfig, handler },
      ...(method === 'GET' && { schema }),
      exposeHeadRoute: false,
    })
  }
}
