import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Apps } from '../../oauth/apps.ts'

/** How long browsers remember a preflight. */
const MAX_AGE_SECONDS = 600
/** Headers of answers that pages may read. `Date` corrects the clock of a DPoP proof. */
export const EXPOSED_HEADERS = 'retry-after, www-authenticate, dpop-nonce, x-request-id, date'
/** Headers that pages may send. */
export const ALLOWED_HEADERS = 'authorization, content-type, dpop'
/** Names the app whose session a page uses, and makes browsers send a preflight. */
const SESSION_HEADER = 'x-client-id'
const ALLOW_CREDENTIALS = { 'access-control-allow-credentials': 'true' }

/**
 * CORS (https://fetch.spec.whatwg.org/#http-cors-protocol) for the routes that this scope has from now on.
 * A preflight is granted for their paths and methods only. Credentials are allowed only on routes that accept
 * sessions, and only to an origin that the session's app registers exactly: other tokens are in headers.
 * @param headers headers that pages may read and send
 */
export function allowOrigins(
  app: FastifyInstance,
  { hasOrigin, hasSessionOrigin }: Pick<Apps, 'hasOrigin' | 'hasSessionOrigin'>,
  headers = { exposed: EXPOSED_HEADERS, allowed: ALLOWED_HEADERS },
): void {
  /** May a page of this origin send its app's session? */
  const mayHaveSession = async ({ headers, routeOptions }: FastifyRequest, origin: string) => {
    const { [SESSION_HEADER]: appId } = headers
    return (
      typeof appId === 'string' &&
      routeOptions.config.acceptsSession === true &&
      (await hasSessionOrigin(origin, appId))
    )
  }

  app.addHook('onRequest', (request, reply, done) => {
    const isSessionRoute = request.routeOptions.config.acceptsSession === true
    void reply.header('vary', isSessionRoute ? VARY_OF_SESSIONS : 'Origin')
    const { origin } = request.headers
    // Most swaps are not sent by browsers: without an origin, avoid the cost of a promise.
    if (origin === undefined || request.method === 'OPTIONS') return done()
    const allow = async (): Promise<void> => {
      if (!(await hasOrigin(origin))) return app.refusals.logOrigin(request, origin)
      void reply.headers({
        'access-control-allow-origin': origin,
        'access-control-expose-headers': headers.exposed,
        ...((await mayHaveSession(request, origin)) && ALLOW_CREDENTIALS),
      })
    }
    allow().then(() => done(), done)
  })

  answerPreflights(app, async (origin, method, reply, acceptsSession) => {
    if (!(await hasOrigin(origin))) {
      app.refusals.logOrigin(reply.request, origin)
      return false
    }
    void reply.headers({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': method,
      'access-control-allow-headers': headers.allowed,
    })
    // A preflight does not say which app it is for. The request then does, and is checked for that app.
    const isForSession = acceptsSession && asksForSession(reply.request)
    if (isForSession && (await hasSessionOrigin(origin, null))) {
      const allowed = `${headers.allowed}, ${SESSION_HEADER}`
      void reply.headers({ ...ALLOW_CREDENTIALS, 'access-control-allow-headers': allowed })
    }
    return true
  })
}

/** Answers differ by what may carry the token: browsers keep those of another user apart. */
const VARY_OF_SESSIONS = 'Origin, Authorization, Cookie, X-Client-Id'

const asksForSession = ({ headers }: FastifyRequest): boolean =>
  (headers['access-control-request-headers'] ?? '')
    .split(',')
    .some((name) => name.trim().toLowerCase() === SESSION_HEADER)

/** CORS for public documents: pages of any origin may read the routes that this scope has from now on. */
export function allowAnyOrigin(app: FastifyInstance): void {
  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('access-control-allow-origin', '*')
  })
  answerPreflights(app, async (_origin, method, reply) => {
    void reply.headers({
      'access-control-allow-methods': method,
      'access-control-allow-headers': '*',
    })
    return true
  })
}

/**
 * Answers `OPTIONS` on the path of each route that this scope has from now on.
 * @param grant sets the headers that allow the method to the origin; `false`: it may not
 */
function answerPreflights(
  app: FastifyInstance,
  grant: (
    origin: string,
    method: string,
    reply: FastifyReply,
    acceptsSession: boolean,
  ) => Promise<boolean>,
): void {
  const methodsByPath = new Map<string, Set<HTTPMethods>>()
  app.addHook('onRoute', ({ url, method, config }) => {
    const added = [method].flat().filter((name) => name !== 'OPTIONS')
    if (added.length === 0) return
    const known = methodsByPath.get(url)
    if (known) return added.forEach((name) => known.add(name))
    const methods = new Set(added)
    methodsByPath.set(url, methods)
    app.options(url.slice(app.prefix.length) || '/', async (request, reply) => {
      const { origin, 'access-control-request-method': wanted = '' } = request.headers
      const isKnown = methods.has(wanted) && origin !== undefined
      if (isKnown && (await grant(origin, wanted, reply, config?.acceptsSession === true)))
        return reply.header('access-control-max-age', MAX_AGE_SECONDS).code(204).send()
      if (!isKnown) {
        await app.refusals.log(request, { reason: 'preflight_method_not_allowed', status: 405 })
      }
      return reply
        .header('allow', [...methods].join(', '))
        .code(isKnown ? 403 : 405)
        .send()
    })
  })
}
