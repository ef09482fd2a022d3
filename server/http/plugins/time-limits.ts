import { once } from 'node:events'
import { Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

/**
 * Limits on slow and silent clients, so that others are still served. A request that waits for a refresh is
 * answered within ten seconds, a callback within thirty.
 */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 20_000
const IDLE_CONNECTION_TIMEOUT_MS = 60_000
const CONNECTION_CHECK_INTERVAL_MS = 2000

/** Enough for broker tokens and long redirects. */
const MAX_HEADER_BYTES = 16 * 1024

/** Options for Fastify. */
export const timeLimits = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  connectionTimeout: IDLE_CONNECTION_TIMEOUT_MS,
}

/** Options for Node's HTTP server. */
export const serverLimits = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: CONNECTION_CHECK_INTERVAL_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
}

/** Servers that accept no more connections. */
const closing = new WeakSet<object>()

/** During shutdown, closes each connection after its response. Otherwise keep-alive clients would delay it. */
export function closeConnectionsOnStop(app: FastifyInstance): void {
  app.addHook('preClose', (done) => {
    closing.add(app.server)
    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing.has(app.server)) void reply.header('connection', 'close')
    done(null, payload)
  })
}

/** As long as Fastify keeps a connection without a request open. */
const DRAIN_TIMEOUT_MS = 75_000

/**
 * Stops accepting connections, and resolves when there are none any more, or after a timeout. An idle connection
 * stays open for its client's next request, which is answered with `connection: close`: closing it could cross
 * that request on its way.
 */
export async function drain({ server }: FastifyInstance): Promise<void> {
  closing.add(server)
  const done = new AbortController()
  const closed = once(server, 'close', { signal: done.signal }).catch(() => undefined)
  // The method of HTTP servers would also close idle connections.
  Server.prototype.close.call(server)
  await Promise.race([closed, sleep(DRAIN_TIMEOUT_MS, null, { ref: false })])
  done.abort()
}

/** How long a shutdown waits for requests in progress. */
export const CLOSE_TIMEOUT_MS = 12_000

/** Stops accepting requests, and resolves when those in progress are answered, or aborted after `timeoutMs`. */
export async function closeWithTimeout(
  app: FastifyInstance,
  timeoutMs: number = CLOSE_TIMEOUT_MS,
): Promise<void> {
  const timeout = setTimeout(() => app.server.closeAllConnections(), timeoutMs)
  try {
    await app.close()
  } finally {
    clearTimeout(timeout)
  }
}
