import type { FastifyInstance, FastifyReply, HTTPMethods } from 'fastify'

/** How long browsers remember a preflight. */
const MAX_AGE_SECONDS = 600
/** Headers of answers that pages may read. */
export const EXPOSED_HEADERS = 'retry-after, www-authenticate, dpop-nonce, x-request-id'
/** Headers that pages may send. */
export const ALLOWED_HEADERS = 'authorization, content-type, dpop'

/**
 * CORS (https://fetch.spec.whatwg.org/#http-cors-protocol) for the routes that this scope has from now on.
 * A preflight is granted for their paths and methods only. Credentials are never allowed: tokens are in
 * headers, never in cookies.
 * @param isAllowed may pages of this origin call the routes?
 * @param headers headers that pages may read and send
 */
export function allowOrigins(
  app: FastifyInstance,
  isAllowed: (origin: string) => Promise<boolean>,
  headers = { exposed: EXPOSED_HEADERS, allowed: ALLOWED_HEADERS },
): void {
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('vary', 'Origin')
    const { origin } = request.headers
    // Most swaps are not sent by browsers: without an origin, avoid the cost of a promise.
    if (origin === undefined || request.method === 'OPTIONS') return done()
    isAllowed(origin).then((allowed) => {
      if (allowed) {
        void reply.headers({
          'access-control-allow-origin': origin,
          'access-control-expose-headers': headers.exposed,
        })
      } else app.refusals.logOrigin(request, origin)
      done()
    }, done)
  })

  answerPreflights(app, async (origin, method, reply) => {
    if (!(await isAllowed(origin))) {
      app.refusals.logOrigin(reply.request, origin)
      return false
    }
    void reply.headers({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': method,
      'access-control-allow-headers': headers.allowed,
    })
    return true
  })
}

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
  grant: (origin: string, method: string, reply: FastifyReply) => Promise<boolean>,
): void {
  const methodsByPath = new Map<string, Set<HTTPMethods>>()
  app.addHook('onRoute', ({ url, method }) => {
    const added = [method].flat().filter((name) => name !== 'OPTIONS')
    if (added.length === 0) return
    const known = methodsByPath.get(url)
    if (known) return added.forEach((name) => known.add(name))
    const methods = new Set(added)
    methodsByPath.set(url, methods)
    app.options(url.slice(app.prefix.length) || '/', async (request, reply) => {
      const { origin, 'access-control-request-method': wanted = '' } = request.headers
      const isKnown = methods.has(wanted) && origin !== undefined
      if (isKnown && (await grant(origin, wanted, reply)))
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
