import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createNetworkMatcher } from '../../addresses.ts'
import type { Random } from '../../runtime.ts'
import type { HttpServices } from '../../services.ts'
import { createSummarizingLog } from '../../summarizing-log.ts'

/** The formats that proxies use: hex digits (nginx, W3C trace ids) or a UUID (Caddy, Envoy). Matches no broker token. */
const PROXY_REQUEST_ID = /^(?:[0-9a-f]{16,32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/**
 * Returns Fastify's `genReqId`. A request has the id that a trusted proxy sends (`X-Request-Id`), so that
 * both logs use the same id, or else a new one, unique across processes and restarts.
 * @param trustedProxies addresses and networks; the header is ignored from any other peer
 */
export function createRequestIds(
  random: Random,
  trustedProxies: string[],
): (request: IncomingMessage) => string {
  const prefix = random(6).toString('base64url')
  const isTrustedProxy = createNetworkMatcher(trustedProxies)
  let count = 0
  return ({ headers, socket }) => {
    const id = headers['x-request-id']
    const isValid = typeof id === 'string' && PROXY_REQUEST_ID.test(id)
    if (isValid && isTrustedProxy(socket.remoteAddress)) return id
    return `${prefix}-${(++count).toString(36)}`
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A style, script or image of a page: not logged. */
    asset?: boolean
  }
}

/** What browsers request by themselves. */
const BROWSER_FILES = /\/(?:favicon\.ico|apple-touch-icon[a-z0-9-]*\.png|assets\/[^/]+)$/

/** The reason of a refusal, by status, for routes that give none. */
const REASONS: Record<number, string> = {
  403: 'form_expired',
  404: 'not_found',
  405: 'method_not_allowed',
  421: 'not_the_public_url',
  422: 'form_invalid',
  429: 'rate_limited',
}

/**
 * Measures each response of this scope, and logs its method, path without query, status and duration. A refused
 * request has one line, too: that of the refusal. Anyone may request pages, so repetitions by one address within a
 * minute are summarised.
 */
export function logRequests(
  app: FastifyInstance,
  { metrics: { pages }, log, clock }: Pick<HttpServices, 'metrics' | 'log' | 'clock'>,
): void {
  // Apart from refusals: many visitors do not take the room of their lines.
  const requests = createSummarizingLog({ log, clock })
  app.addHook('onClose', async () => requests.close())
  app.addHook('onResponse', async (request, reply) => {
    const { url: path = '(none)' } = request.routeOptions
    const { id, method, ip: address } = request
    const labels = { route: path, status: `${Math.floor(reply.statusCode / 100)}xx` }
    pages.observe(labels, reply.elapsedTime / 1000)
    if (isAsset(request) || request.isRefusalLogged) return
    const { statusCode: status } = reply
    if (status >= 400 && status < 500) {
      const reason = request.refusalReason ?? REASONS[status] ?? `status_${status}`
      return app.refusals.log(request, { reason, status })
    }
    const milliseconds = Math.round(reply.elapsedTime)
    const summary = { method, path, status, address }
    const isFirst = requests.write({
      level: 'info',
      message: 'request completed',
      kind: `${method} ${path} ${status}`,
      source: address,
      ...{ request: id, summary, detail: { milliseconds } },
    })
    if (!isFirst) log.debug({ request: id, ...summary, milliseconds }, 'request completed again')
  })
}

const isAsset = ({ routeOptions, url }: FastifyRequest): boolean =>
  routeOptions.config.asset === true || BROWSER_FILES.test(url.replace(/[?#].*$/s, ''))
