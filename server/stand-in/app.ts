import type { AddressInfo } from 'node:net'
import formbody from '@fastify/formbody'
import Fastify, { LogController } from 'fastify'
import type { FastifyError, FastifyInstance, FastifyServerOptions } from 'fastify'
import { schemaController } from '../validators.ts'
import { ApiError, toErrorResponse } from './access.ts'
import { apiRoutes } from './api.ts'
import { controlRoutes } from './control.ts'
import { fileRoutes } from './file-routes.ts'
import { homeRoutes } from './home.ts'
import { authorizeRoute } from './oauth/authorize.ts'
import { tokenRoute } from './oauth/token.ts'
import { rasterRoutes } from './raster-routes.ts'
import type { StandInOptions } from './stand-in.ts'
import { StandIn } from './stand-in.ts'

export { CONTROL_TEXTS, FAULT_TEXTS } from './descriptions.ts'
export { ENDPOINTS } from './faults.ts'
export type { Endpoint, Fault } from './faults.ts'
export type { Client, StandIn, StandInOptions } from './stand-in.ts'
export { switchDefaults, switchSchema } from './switches.ts'
export type { Switches } from './switches.ts'

/** The client that the demo registers. Its secret is public and protects nothing. */
export const standInDefaults = {
  client: {
    id: 'c0ffee00-5eed-4000-a000-000000000001',
    secret: 'known-to-everyone-and-worth-nothing',
    name: 'Ellipsis Broker',
  },
}

export interface AppOptions extends StandInOptions {
  logger?: FastifyServerOptions['logger']
}

/** Fits an access token of 32 KiB in the header and another one in the URL. */
const MAX_HEADER_SIZE_BYTES = 96 * 1024

/** Builds a local Ellipsis Drive that does not listen yet. Tests control it through `standIn`. */
export function buildStandIn(options: AppOptions): FastifyInstance & { standIn: StandIn } {
  const standIn = new StandIn(options)
  const app: FastifyInstance = Fastify({
    logger: options.logger ?? false,
    // URLs may contain codes and tokens; `logResponses` logs the route instead.
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    http: { maxHeaderSize: MAX_HEADER_SIZE_BYTES },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, discriminator: true } },
    schemaController,
    exposeHeadRoutes: false,
  })
  logResponses(app)
  handleErrors(app)
  saveChanges(app, standIn)
  app.register(browserPages, { standIn })
  app.register(controlRoutes, { standIn })
  app.register(ellipsisApi, { standIn, prefix: '/v3' })
  return Object.assign(app, { standIn })
}

interface PluginOptions {
  standIn: StandIn
}

async function browserPages(app: FastifyInstance, { standIn }: PluginOptions): Promise<void> {
  await app.register(formbody)
  await app.register(homeRoutes, { standIn })
}

async function ellipsisApi(app: FastifyInstance, { standIn }: PluginOptions): Promise<void> {
  app.addHook('onRequest', async ({ raw }) => standIn.record(raw))
  allowAllOrigins(app)
  handleErrors(app)
  await app.register(formbody)
  await app.register(authorizeRoute, { standIn })
  await app.register(tokenRoute, { standIn })
  await app.register(apiRoutes, { standIn })
  await app.register(rasterRoutes, { standIn })
  await app.register(fileRoutes, { standIn })
}

const ALLOWED_HEADERS = 'authorization, content-type, range, if-range, if-none-match'
const EXPOSED_HEADERS =
  'accept-ranges, content-disposition, content-length, content-range, etag, last-modified, retry-after'

/** CORS: browser apps of any origin read the API of Ellipsis Drive. */
function allowAllOrigins(app: FastifyInstance): void {
  app.addHook('onRequest', async (_request, reply) => {
    void reply
      .header('access-control-allow-origin', '*')
      .header('access-control-expose-headers', EXPOSED_HEADERS)
  })
  app.options('/*', async (_request, reply) =>
    reply
      .code(204)
      .header('access-control-allow-methods', 'GET, POST, PUT, PATCH, DELETE')
      .header('access-control-allow-headers', ALLOWED_HEADERS)
      .header('access-control-max-age', '600')
      .send(),
  )
}

function handleErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError | ApiError, request, reply) => {
    const { status, message } = toErrorResponse(error)
    if (status >= 500) request.log.error({ err: error }, 'request failed')
    return reply.code(status).send({ message })
  })
  app.setNotFoundHandler(() => {
    throw new ApiError(404, 'Not found.')
  })
}

/** Saves what a request has changed before it is answered, and everything when the stand-in stops. */
function saveChanges(app: FastifyInstance, standIn: StandIn): void {
  if (!standIn.isKept) return
  app.addHook('onSend', async ({ method }) => {
    if (method !== 'GET') standIn.save()
  })
  app.addHook('onClose', async () => standIn.save())
}

function logResponses(app: FastifyInstance): void {
  app.addHook('onResponse', async ({ method, routeOptions, log }, { statusCode }) => {
    log.info({ method, route: routeOptions.url, status: statusCode }, 'request completed')
  })
}

/** Starts a local Ellipsis Drive. `port` 0 selects a free port. */
export async function startStandIn(options: AppOptions & { port: number; host?: string }): Promise<{
  /** Origin. */
  url: string
  /** The value for `ELLIPSIS_API_URL`. */
  apiUrl: string
  standIn: StandIn
  close(): Promise<void>
}> {
  const { host = '127.0.0.1', port } = options
  const app = buildStandIn(options)
  await app.listen({ host, port })
  const { port: boundPort } = app.server.address() as AddressInfo
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}`
  return { url, apiUrl: `${url}/v3`, standIn: app.standIn, close: () => app.close() }
}
