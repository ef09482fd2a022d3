import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import formbody from '@fastify/formbody'
import fastify, { LogController } from 'fastify'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { handleErrors, refuseUnknown, refuseUnreadable } from './plugins/errors.ts'
import { limitFailures } from './plugins/failure-limits.ts'
import { pageHeaders } from './plugins/headers.ts'
import { requestIds } from './plugins/request-id.ts'
import { logRequests } from './plugins/request-log.ts'
import { endConnections, serverLimits, timeLimits } from './plugins/time-limits.ts'
import { views } from './plugins/views.ts'
import { adminRoutes } from './routes/admin.ts'
import { authorizeRoutes } from './routes/authorize.ts'
import { callbackRoute } from './routes/callback.ts'
import { deviceAuthorizationRoute } from './routes/device-authorization.ts'
import { deviceRoutes } from './routes/device.ts'
import { exchangeRoute } from './routes/exchange.ts'
import { homeRoute } from './routes/home.ts'
import { healthRoutes } from './routes/health.ts'
import { introspectRoute } from './routes/introspect.ts'
import { metadataRoutes } from './routes/metadata.ts'
import { notFoundRoutes } from './routes/not-found.ts'
import { openapiRoute, referenceRoute } from './routes/openapi.ts'
import { revokeRoute } from './routes/revoke.ts'
import { tokenRoute } from './routes/token.ts'
import type { HttpServices } from '../services.ts'
import { readCertificate } from './tls.ts'
import { schemaController } from '../validators.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Every route there is, in the order in which they were added. */
    routeTable: readonly RouteOptions[]
  }
}

/** Bytes of a request's body; the largest is a form with a broker token. */
const BODY_LIMIT = 32 * 1024

/** The broker's HTTP side, ready to listen or to be injected into. */
export async function buildApp(services: HttpServices): Promise<FastifyInstance> {
  const { config, log } = services
  const prefix = config.basePath
  const app = fastify({
    ...timeLimits,
    ...(config.tls
      ? { https: { ...readCertificate(config.tls), ...serverLimits } }
      : { http: serverLimits }),
    // A stop answers what still comes on open connections, and tells them that it was their last.
    return503OnClosing: false,
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: config.trustProxy.length > 0 ? config.trustProxy : false,
    bodyLimit: BODY_LIMIT,
    genReqId: requestIds(services.random, config.trustProxy),
    // A logger made anew for each request costs more than a swap's own work: lines name the request.
    childLoggerFactory: (logger) => logger,
    // What is sent is taken as it is: "60" is no number.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    schemaController,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: refuseUnreadable,
  }) as unknown as FastifyInstance
  // Answers are small: JSON.stringify makes quicker work of them than serializers made from schemas.
  app.setSerializerCompiler(() => JSON.stringify)
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => void routes.push(route))
  app.decorate('routeTable', routes)

  endConnections(app)
  await limitFailures(app, config, services.apps)
  handleErrors(app, services)
  app.setNotFoundHandler(refuseUnknown)
  await app.register(metadataRoutes, { services })
  await app.register(healthRoutes, { services, prefix })
  await app.register(openapiRoute, { services, routes, prefix })
  if (prefix !== '') await app.register(healthRoutes, { services })

  // Apps in browsers, too: only what a swap needs.
  await app.register(
    async (apps) => {
      await allowOrigins(apps, services)
      apps.removeContentTypeParser('text/plain')
      await apps.register(exchangeRoute, { services })
      await apps.register(async (forms) => {
        await takeForms(forms)
        await forms.register(tokenRoute, { services })
        await forms.register(revokeRoute, { services })
      })
    },
    { prefix },
  )

  // Apps elsewhere.
  await app.register(
    async (forms) => {
      await takeForms(forms)
      await forms.register(deviceAuthorizationRoute, { services })
      await forms.register(introspectRoute, { services })
    },
    { prefix },
  )

  // People: pages, with cookies, forms, headers and a line in the log.
  await app.register(
    async (pages) => {
      logRequests(pages, services.metrics)
      await pageHeaders(pages, config)
      await views(pages, { basePath: prefix })
      pages.removeAllContentTypeParsers()
      await pages.register(cookie)
      await pages.register(formbody)
      await pages.register(homeRoute)
      await pages.register(referenceRoute, { services, routes })
      await pages.register(authorizeRoutes, { services })
      await pages.register(deviceRoutes, { services })
      await pages.register(callbackRoute, { services })
      await pages.register(adminRoutes, { services, prefix: '/admin' })
      await pages.register(notFoundRoutes, { routes: [...routes] })
    },
    { prefix },
  )
  return app
}

/** Nothing but forms, from addresses that don't fail too often. */
async function takeForms(app: FastifyInstance): Promise<void> {
  app.removeAllContentTypeParsers()
  app.addHook('onRequest', app.failures.check)
  await app.register(formbody)
}

/** CORS for the origins that apps registered; their tokens travel in headers, never in cookies. */
async function allowOrigins(app: FastifyInstance, { apps }: HttpServices): Promise<void> {
  await app.register(cors, {
    // Most swaps come from no browser; they needn't wait for a promise.
    origin: (origin: string | undefined, done: (error: Error | null, known: boolean) => void) => {
      if (origin === undefined) return done(null, false)
      apps.hasOrigin(origin).then(
        (known) => done(null, known),
        (error: Error) => done(error, false),
      )
    },
    methods: ['POST'],
    allowedHeaders: ['authorization', 'content-type', 'dpop'],
    exposedHeaders: ['retry-after', 'www-authenticate', 'dpop-nonce', 'x-request-id'],
    maxAge: 600,
  })
}
