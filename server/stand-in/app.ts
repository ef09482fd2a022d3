import type { AddressInfo } from 'node:net'
import formbody from '@fastify/formbody'
import Fastify, { LogController } from 'fastify'
import type { FastifyError, FastifyInstance, FastifyServerOptions } from 'fastify'
import { schemaController } from '../validators.ts'
import { ApiError } from './api-error.ts'
import { apiRoutes, errorBody } from './api.ts'
import { controlRoutes } from './control.ts'
import { homeRoutes } from './home.ts'
import { authorizeRoute } from './oauth/authorize.ts'
import { tokenRoute } from './oauth/token.ts'
import type { StandInOptions } from './stand-in.ts'
import { StandIn } from './stand-in.ts'

export type { Endpoint, Fault } from './faults.ts'
export type { Client, StandIn, StandInOptions } from './stand-in.ts'
export { switchDefaults, switchSchema } from './switches.ts'
export type { Switches } from './switches.ts'

/** The client that the demo registers. Its secret guards nothing: it is known to everyone. */
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

/** Bytes of a request's head: access tokens of 32 KiB fit in, in the header and in the address. */
const LARGEST_HEAD = 96 * 1024

/** A local Ellipsis Drive, not yet listening; `standIn` steers it. */
export function buildStandIn(options: AppOptions): FastifyInstance & { standIn: StandIn } {
  const standIn = new StandIn(options)
  const app: FastifyInstance = Fastify({
    logger: options.logger ?? false,
    // Addresses may hold codes and tokens: what is logged is below.
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    http: { maxHeaderSize: LARGEST_HEAD },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, discriminator: true } },
    schemaController,
    exposeHeadRoutes: false,
  })
  logAnswers(app)
  answerErrors(app)
  app.register(browserPages, { standIn })
  app.register(controlRoutes, { standIn })
  app.register(ellipsisApi, { standIn, prefix: '/v3' })
  return Object.assign(app, { standIn })
}

interface Parts {
  standIn: StandIn
}

async function browserPages(app: FastifyInstance, { standIn }: Parts): Promise<void> {
  await app.register(formbody)
  await app.register(homeRoutes, { standIn })
}

async function ellipsisApi(app: FastifyInstance, { standIn }: Parts): Promise<void> {
  allowEveryOrigin(app)
  answerErrors(app)
  await app.register(formbody)
  await app.register(authorizeRoute, { standIn })
  await app.register(tokenRoute, { standIn })
  await app.register(apiRoutes, { standIn })
}

/** CORS: browser clients of Ellipsis Drive read its API from anywhere. */
function allowEveryOrigin(app: FastifyInstance): void {
  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('access-control-allow-origin', '*')
  })
  app.options('/*', async (_request, reply) =>
    reply
      .code(204)
      .header('access-control-allow-methods', 'GET, POST, PUT, PATCH, DELETE')
      .header('access-control-allow-headers', 'authorization, content-type')
      .send(),
  )
}

function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError | ApiError, request, reply) => {
    const { status, message } = errorBody(error)
    if (status >= 500) request.log.error({ err: error }, 'a call failed')
    return reply.code(status).send({ message })
  })
  app.setNotFoundHandler(() => {
    throw new ApiError(404, 'There is nothing at this address.')
  })
}

function logAnswers(app: FastifyInstance): void {
  app.addHook('onResponse', async ({ method, routeOptions, log }, { statusCode }) => {
    log.info({ method, route: routeOptions.url, status: statusCode }, 'answered')
  })
}

/** Starts a local Ellipsis Drive. `port` 0 takes a free one. */
export async function startStandIn(options: AppOptions & { port: number; host?: string }): Promise<{
  /** Origin. */
  url: string
  /** What to set as `ELLIPSIS_API_URL`. */
  apiUrl: string
  standIn: StandIn
  close(): Promise<void>
}> {
  const { host = '127.0.0.1', port } = options
  const app = buildStandIn(options)
  await app.listen({ host, port })
  const { port: taken } = app.server.address() as AddressInfo
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${taken}`
  return { url, apiUrl: `${url}/v3`, standIn: app.standIn, close: () => app.close() }
}
