import helmet from '@fastify/helmet'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Config } from '../../config/config.ts'
import { isHttps } from './cookies.ts'

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
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers({ 'content-security-policy': policy, 'cache-control': 'no-store' })
  })
}

/**
 * Allows this page's form to redirect to Ellipsis Drive, and from there to the app.
 * @param redirectUri of the app; empty: none
 */
export function allowFormRedirects(reply: FastifyReply, config: Config, redirectUri = ''): void {
  const { apiUrl, webUrl } = config.ellipsis
  const targets = [apiUrl, webUrl ?? '', redirectUri].filter((target) => target !== '')
  const policy = contentSecurityPolicy(config, targets.map(cspSource))
  void reply.header('content-security-policy', policy)
}

/**
 * The content security policy of a page: nothing from other hosts, nothing inline, never framed.
 * @param formAction where the page's forms may lead besides the broker, redirects included
 */
function contentSecurityPolicy(config: Config, formAction: string[] = []): string {
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
    ...(isHttps(config) ? ['upgrade-insecure-requests'] : []),
  ]
  return directives.join('; ')
}

/** The CSP source of a URL: its origin, or its scheme where CSP cannot name the host (IPv6, custom schemes). */
function cspSource(target: string): string {
  const url = new URL(target)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return url.protocol
  return url.hostname.startsWith('[') ? url.protocol : url.origin
}
