import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../../config/config.ts'

/**
 * The content security policy of every page: nothing from elsewhere, nothing inline, never framed.
 * @param formAction where the page's forms may lead, through all redirects, besides the broker itself
 */
export function contentSecurityPolicy(secure: boolean, formAction: string[] = []): string {
  const directives = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    ["form-action 'self'", ...formAction].join(' '),
    "frame-ancestors 'none'",
    "base-uri 'none'",
    ...(secure ? ['upgrade-insecure-requests'] : []),
  ]
  return directives.join('; ')
}

/** How CSP names the place that a redirect URI leads to; it can't name an IPv6 address. */
export function cspSource(redirectUri: string): string {
  const url = new URL(redirectUri)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return url.protocol
  return url.hostname.startsWith('[') ? url.protocol : url.origin
}

/** Security headers of every page. */
export async function pageHeaders(app: FastifyInstance, config: Config): Promise<void> {
  const secure = config.publicUrl.startsWith('https:')
  await app.register(helmet, {
    contentSecurityPolicy: false,
    // An app may have opened its connect link in a window of its own, and be waiting for it.
    crossOriginOpenerPolicy: false,
    hsts: secure,
    referrerPolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
  })
  const policy = contentSecurityPolicy(secure)
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers({ 'content-security-policy': policy, 'cache-control': 'no-store' })
  })
}
