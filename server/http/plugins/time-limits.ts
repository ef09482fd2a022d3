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

/** During shutdown, closes each connection after its response. Otherwise keep-alive clients would delay it. */
export function closeConnectionsOnStop(app: FastifyInstance): void {
  let isClosing = false
  app.addHook('preClose', (done) => {
    isClosing = true
    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) void reply.header('connection', 'close')
    done(null, payload)
  })
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
