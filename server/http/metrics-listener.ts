import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { HttpServices } from '../services.ts'
import { serverLimits } from './plugins/time-limits.ts'
import { hasMetricsToken } from './routes/metrics.ts'

const HOST = '127.0.0.1'
/** During an upgrade without downtime, the new broker takes over the port soon after the old one stops. */
const RETRY_INTERVAL_MS = 5000

/**
 * Serves `/metrics` on a port that only this machine reaches. With a metrics token, that token is required
 * here too. A port that is in use does not prevent the broker from serving: it is tried again until free.
 * @returns a function that stops it
 */
export function serveMetrics(services: HttpServices, port: number): () => Promise<void> {
  const { log, clock } = services
  const server = createServer(serverLimits, (request, response) => {
    answer(services, request, response).catch((error: unknown) => {
      log.error({ err: error }, 'metrics could not be read')
      response.writeHead(500).end()
    })
  })
  const stopping = new AbortController()

  const listen = async (): Promise<void> => {
    for (let attempt = 0; !stopping.signal.aborted; attempt++) {
      try {
        await once(server.listen(port, HOST), 'listening')
        const { port: actualPort } = server.address() as AddressInfo
        log.info({ metrics: `http://${HOST}:${actualPort}/metrics` }, 'serving metrics')
        return
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        const message = `metrics can’t be served on port ${port} of ${HOST} (${code}); trying again until it is free. Choose another BROKER_METRICS_PORT if another program has it`
        if (attempt === 0) log.warn({}, message)
      }
      await clock.sleep(RETRY_INTERVAL_MS, stopping.signal)
    }
  }
  const listening = listen()

  return async () => {
    stopping.abort()
    await listening
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
}

async function answer(
  { config, metrics }: HttpServices,
  { url, method = '', headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (url?.split('?')[0] !== '/metrics') return void response.writeHead(404).end()
  if (!['GET', 'HEAD'].includes(method)) return void response.writeHead(405, { allow: 'GET' }).end()
  if (config.metricsToken && !hasMetricsToken(headers.authorization, config.metricsToken)) {
    return void response.writeHead(401, { 'www-authenticate': 'Bearer' }).end()
  }
  const { contentType } = metrics.registry
  response.setHeader('content-type', contentType).setHeader('cache-control', 'no-store')
  response.end(await metrics.text())
}
