import type { FastifyInstance } from 'fastify'

/**
 * Bounds on clients that are slow, or gone without a word, so that they keep nobody else from being served.
 * Times in milliseconds. Whoever waits for a refresh is answered within ten seconds; a callback within thirty.
 */
const HEAD_WITHIN = 10_000
const REQUEST_WITHIN = 20_000
/** A connection on which nothing has moved for so long is closed. */
const SILENT = 60_000
const LOOK_EVERY = 2000

/** Bytes of a request's head: broker tokens and long redirects fit in. */
const LARGEST_HEAD = 16 * 1024

/** For fastify's own options. */
export const timeLimits = { requestTimeout: REQUEST_WITHIN, connectionTimeout: SILENT }

/** For Node's server, beneath. */
export const serverLimits = {
  headersTimeout: HEAD_WITHIN,
  connectionsCheckingInterval: LOOK_EVERY,
  maxHeaderSize: LARGEST_HEAD,
}

/**
 * What is answered during a stop is the last answer on its connection. Otherwise the stop would wait for clients
 * that keep connections open.
 */
export function endConnections(app: FastifyInstance): void {
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

/** How long a stop waits for requests under way, milliseconds. */
export const CLOSE_WITHIN_MS = 12_000

/**
 * Takes no more requests, and resolves when those under way are answered, or cut off after a while. What is
 * still being sent, or not read, by then is nobody's loss.
 */
export async function closeInTime(
  app: FastifyInstance,
  withinMs: number = CLOSE_WITHIN_MS,
): Promise<void> {
  const late = setTimeout(() => app.server.closeAllConnections(), withinMs)
  try {
    await app.close()
  } finally {
    clearTimeout(late)
  }
}
