import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../errors.ts'
import { sendNotFound } from './errors.ts'

/**
 * Refuses requests that a proxy in front may understand in another way than the broker: with two `Host` headers
 * (RFC 9112 3.2), or with a path that is another spelling of a route's, such as `/%61dmin`. Rules of the proxy
 * for a path would not hold for such a spelling. Applies to the routes that are added from now on.
 */
export function refuseAmbiguousRequests(app: FastifyInstance): void {
  /** What each route's paths begin with. Without parameters, that is the whole path. */
  const fixedParts = new Map<string, string>()
  const wholePaths = new Set<string>()
  app.addHook('onRoute', ({ url }) => {
    const fixed = url.replace(/[:*].*$/, '')
    fixedParts.set(url, fixed)
    if (fixed === url) wholePaths.add(url)
  })

  app.addHook('onRequest', (request, reply, done) => {
    if (hasTwoHosts(request.raw.rawHeaders)) {
      const description = 'Send one Host header.'
      return done(new BrokerError('invalid_request', { description }) as unknown as Error)
    }
    // Of most swaps, this is all: reading the route's options costs more.
    if (wholePaths.has(request.originalUrl)) return done()
    const { url: route, config } = request.routeOptions
    const fixed = route === undefined ? '' : (fixedParts.get(route) ?? '')
    if (pathOf(request.originalUrl).startsWith(fixed)) return done()
    // Links to other pages are accepted as people paste them: see pasted-urls.ts.
    const isPasted = request.url.startsWith(fixed)
    if (!isPasted) return sendNotFound(request, reply)
    if (config.page === 'admin') return void reply.redirect(request.url, 302)
    done()
  })
}

/** Without the origin that proxies may send (RFC 9112 3.2.2). */
export const pathOf = (url: string): string =>
  url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/]*/i, '')

function hasTwoHosts(rawHeaders: string[]): boolean {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count > 1
}
