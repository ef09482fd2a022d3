import helmet from '@fastify/helmet'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { isHttps } from './cookies.ts'

/** As helmet writes it. */
const HSTS = 'max-age=31536000; includeSubDomains'

/** An answer that is no page loads nothing and is never framed, if a browser shows it all the same. */
const NO_PAGE_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"

/** The security headers of all answers, also of JSON; pages have a content security policy of their own. */
export const headersOfEveryAnswer = (
  config: Pick<Config, 'publicUrl'>,
): Record<string, string> => ({
  'x-content-type-options': 'nosniff',
  'content-security-policy': NO_PAGE_POLICY,
  ...(isHttps(config) && { 'strict-transport-security': HSTS }),
})

/** Adds the security headers of all answers. */
export function answerHeaders(app: FastifyInstance, config: Config): void {
  const headers = headersOfEveryAnswer(config)
  app.addHook('onRequest', (_request, reply, done) => {
    void reply.headers(headers)
    done()
  })
}

/** Adds the security headers of pages to every response of this scope. */
export async function pageHeaders(app: FastifyInstance, config: Config): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: false,
    // An app may open the connect page in a window, and wait for that window.
    crossOriginOpenerPolicy: false,
    hsts: isHttps(config),
    referrerPolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
  })
  const policy = contentSecurityPolicy(config)
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers({ 'content-security-policy': policy, 'cache-control': 'no-store' })
    const { page } = request.routeOptions.config
    if (!page) return
    // No page of another site keeps a handle on a window of the dashboard.
    if (page === 'admin') void reply.header('cross-origin-opener-policy', 'same-origin')
    // Browsers drop what they prefetched with an error status, and request it again when it is visited.
    if (isPrefetch(request)) return reply.code(503).send()
    // A page may use up a link or start a flow, so HEAD must not run it.
    if (request.method === 'HEAD' && page !== 'admin') return reply.send()
  })
}

/** Was this page requested before the user asked for it (https://www.w3.org/TR/prefetch/, 4.2)? */
function isPrefetch({ headers }: FastifyRequest): boolean {
  const purposes = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz'].map((name) => headers[name])
  return purposes.some(
    (purpose) => typeof purpose === 'string' && /^(prefetch|preview)/i.test(purpose),
  )
}

/**
 * Allows this page's form to lead anywhere. Browsers apply `form-action` to the whole chain of redirects that
 * follows, and the hosts of that chain are unknown: Ellipsis Drive may use single sign-on, and the app's
 * redirect URI may redirect on.
 */
export function allowFormRedirects(reply: FastifyReply, config: Config): void {
  void reply.header('content-security-policy', contentSecurityPolicy(config, false))
}

/**
 * The content security policy of a page: nothing from other hosts, nothing inline, never framed.
 * @param restrictForms forms lead to the broker only, redirects included
 */
function contentSecurityPolicy(config: Config, restrictForms = true): string {
  const directives = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    ...(restrictForms ? ["form-action 'self'"] : []),
    "frame-ancestors 'none'",
    "base-uri 'none'",
    ...(isHttps(config) ? ['upgrade-insecure-requests'] : []),
  ]
  return directives.join('; ')
}
