import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import fastify, { LogController } from 'fastify'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { build } from '../assets.ts'
import { parseForm } from './form.ts'
import { createOpenApiDocument } from './openapi-document.ts'
import { allowOrigins } from './plugins/cors.ts'
import { omitEmptyValues } from './plugins/empty-values.ts'
import { handleErrors, sendMalformedUrl, sendNotFound } from './plugins/errors.ts'
import { limitFailures } from './plugins/failure-limits.ts'
import { normalizeForwarded } from './plugins/forwarded.ts'
import { answerHeaders, headersOfEveryAnswer, pageHeaders } from './plugins/headers.ts'
import { cleanPastedUrl } from './plugins/pasted-urls.ts'
import { createProxyWarning } from './plugins/peer.ts'
import { redirectToPublicUrl } from './plugins/public-name.ts'
import { logRefusals } from './plugins/refusals.ts'
import { createRequestIds, logRequests } from './plugins/request-log.ts'
import { closeConnectionsOnStop, serverLimits, timeLimits } from './plugins/time-limits.ts'
import { refuseAmbiguousRequests } from './plugins/strict-requests.ts'
import { createTurns } from './plugins/turns.ts'
import { deferContinue, handleClientError } from './plugins/uploads.ts'
import { views } from './plugins/views.ts'
import { adminRoutes } from './routes/admin.ts'
import { appEventsRoute } from './routes/app-events.ts'
import { appGrantsRoutes } from './routes/app-grants.ts'
import { authorizeRoutes } from './routes/authorize.ts'
import { callbackRoute } from './routes/callback.ts'
import { deviceAuthorizationRoute } from './routes/device-authorization.ts'
import { deviceRoutes } from './routes/device.ts'
import { DRIVE_PATH, driveCors, driveRoute } from './routes/drive.ts'
import { exchangeRoute } from './routes/exchange.ts'
import { homeRoute } from './routes/home.ts'
import { healthRoutes } from './routes/health.ts'
import { introspectRoute } from './routes/introspect.ts'
import { linksRoutes } from './routes/links.ts'
import { meRoutes } from './routes/me.ts'
import { metadataRoutes } from './routes/metadata.ts'
import { metricsRoute } from './routes/metrics.ts'
import { notFoundRoute } from './routes/not-found.ts'
import { openapiRoute, referenceRoute } from './routes/openapi.ts'
import { oidcLogoutRoute } from './routes/oidc-logout.ts'
import { parRoute } from './routes/par.ts'
import { revokeRoute } from './routes/revoke.ts'
import { sdkRoute } from './routes/sdk.ts'
import { sessionRoutes } from './routes/session.ts'
import { sharedLinkRoute } from './routes/shared-link.ts'
import { tokenRoute } from './routes/token.ts'
import { userinfoRoute } from './routes/userinfo.ts'
import type { HttpServices } from '../services.ts'
import { readCertificate } from './tls.ts'
import { schemaController } from '../validators.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** All routes, in the order of registration. */
    routeTable: readonly RouteOptions[]
  }
}

/** Enough for a form with a broker token. */
const BODY_LIMIT_BYTES = 32 * 1024

/** Builds the broker's HTTP server. The caller listens, or injects requests. */
export async function buildApp(services: HttpServices): Promise<FastifyInstance> {
  const { config, log } = services
  const prefix = config.basePath
  const app = fastify({
    ...timeLimits,
    ...(config.tls
      ? { https: { ...readCertificate(config.tls), ...serverLimits } }
      : { http: serverLimits }),
    // During shutdown, answer requests on open connections; closeConnectionsOnStop then closes those.
    return503OnClosing: false,
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: config.trustProxy.length > 0 ? config.trustProxy : false,
    bodyLimit: BODY_LIMIT_BYTES,
    clientErrorHandler: handleClientError,
    genReqId: createRequestIds(services.random, config.trustProxy),
    // A child logger for each request costs more than a swap; log calls add the request id themselves.
    childLoggerFactory: (logger) => logger,
    // Never convert types: "60" is not a number.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    schemaController,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (_error, request, reply) =>
      sendMalformedUrl(request, reply.headers(headersOfEveryAnswer(config))),
    rewriteUrl: ({ method, url = '/' }) =>
      method === 'GET' || method === 'HEAD' ? cleanPastedUrl(url, prefix) : url,
  }) as unknown as FastifyInstance
  // For small responses JSON.stringify is faster than serializers that are compiled from schemas.
  app.setSerializerCompiler(() => JSON.stringify)
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => void routes.push(route))
  app.decorate('routeTable', routes)

  const takeTurn = createTurns()
  closeConnectionsOnStop(app)
  deferContinue(app, `${prefix}${DRIVE_PATH}/`)
  answerHeaders(app, config)
  refuseAmbiguousRequests(app)
  normalizeForwarded(app, config.trustProxy)
  logRefusals(app, services)
  const failureLimit = Math.ceil(config.failureLimit / (config.workers ?? 1))
  await limitFailures(app, { ...config, failureLimit }, services.apps)
  const warnOfProxy = createProxyWarning(config, log)
  handleErrors(app, services)
  app.setNotFoundHandler(sendNotFound)
  await app.register(metadataRoutes, { services })
  await app.register(healthRoutes, { services, prefix })
  await app.register(metricsRoute, { services, prefix })
  const { publicUrl } = config
  const { version } = build
  const document = createOpenApiDocument({ routes, publicUrl, basePath: prefix, version })
  await app.register(openapiRoute, { config, document, prefix })
  if (prefix !== '') {
    await app.register(healthRoutes, { services })
    await app.register(metricsRoute, { services })
  }

  // Endpoints for apps, with CORS for apps in browsers.
  await app.register(
    async (apps) => {
      allowOrigins(apps, services.apps)
      omitEmptyValues(apps)
      apps.removeContentTypeParser('text/plain')
      await apps.register(exchangeRoute, { services })
      await apps.register(sessionRoutes, { services })
      await apps.register(linksRoutes, { services })
      await apps.register(async (forms) => {
        await acceptForms(forms)
        await forms.register(tokenRoute, { services })
        await forms.register(parRoute, { services })
        await forms.register(userinfoRoute, { services })
        await forms.register(revokeRoute, { services })
        await forms.register(async (devices) => {
          devices.addHook('onRequest', takeTurn)
          await devices.register(deviceAuthorizationRoute, { services })
        })
      })
    },
    { prefix },
  )

  // Ellipsis Drive itself: bodies of any type and size.
  await app.register(
    async (drive) => {
      allowOrigins(drive, services.apps, driveCors)
      await drive.register(driveRoute, { services })
    },
    { prefix },
  )

  await app.register(sdkRoute, { prefix })

  // For anyone who has a link, from any origin.
  await app.register(sharedLinkRoute, { services, prefix })

  // Endpoints for the back ends of apps, and for the identity provider of admins, without CORS.
  await app.register(
    async (forms) => {
      omitEmptyValues(forms)
      await acceptForms(forms)
      await forms.register(introspectRoute, { services })
      await forms.register(oidcLogoutRoute, { services })
    },
    { prefix },
  )
  await app.register(
    async (api) => {
      omitEmptyValues(api)
      api.removeContentTypeParser('text/plain')
      await api.register(appGrantsRoutes, { services })
      await api.register(appEventsRoute, { services })
    },
    { prefix },
  )

  // Pages for people, with cookies, forms, security headers and request logs.
  await app.register(
    async (pages) => {
      pages.addHook('onRequest', takeTurn)
      logRequests(pages, services)
      pages.addHook('onRequest', warnOfProxy)
      await pageHeaders(pages, config)
      await views(pages, config)
      pages.removeAllContentTypeParsers()
      await pages.register(cookie)
      redirectToPublicUrl(pages, config)
      await pages.register(formbody, { parser: parseForm })
      await pages.register(homeRoute, { services })
      await pages.register(referenceRoute, { config, document })
      await pages.register(authorizeRoutes, { services })
      await pages.register(deviceRoutes, { services })
      await pages.register(callbackRoute, { services })
      await pages.register(meRoutes, { services })
      await pages.register(adminRoutes, { services, prefix: '/admin' })
      await pages.register(notFoundRoute, { routes: [...routes] })
    },
    { prefix },
  )
  return app
}

/** Accepts only forms, and limits failures by address. */
async function acceptForms(app: FastifyInstance): Promise<void> {
  app.removeAllContentTypeParsers()
  app.addHook('onRequest', app.failureLimits.check)
  await app.register(formbody, { parser: parseForm })
}
