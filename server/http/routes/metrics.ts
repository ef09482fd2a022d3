import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { isLoopback } from '../../addresses.ts'
import { equalHashes, sha256 } from '../../crypto/hash.ts'
import { BrokerError, publicError } from '../../errors.ts'
import type { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { sendError } from '../plugins/errors.ts'
import { failure, failures } from './schemas.ts'

const NO_TOKEN =
  'Metrics are not served here. Set BROKER_METRICS_TOKEN and send it as bearer token, or set BROKER_METRICS_PORT and read /metrics on that port of the broker’s machine.'
const WRONG_TOKEN = 'Send the value of BROKER_METRICS_TOKEN as bearer token.'

const schema = {
  tags: ['operation'],
  operationId: 'metrics',
  summary: 'Metrics for Prometheus',
  description: 'Served with BROKER_METRICS_TOKEN only.',
  security: [{ metricsToken: [] }],
  response: {
    200: {
      description: 'Prometheus text format.',
      content: { 'text/plain': { schema: Type.String() } },
    },
    401: failure(401, ['invalid_token'], WRONG_TOKEN),
    404: failure(404, ['invalid_request'], 'BROKER_METRICS_TOKEN is not set.'),
    ...failures('slow_down'),
  },
}

/**
 * `/metrics` beside the endpoints for everyone. A connection from this machine proves nothing: a proxy may
 * forward nothing of its visitor. So a token is always required.
 */
export const metricsRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { config, metrics, log } },
) => {
  let isReported = false
  /** Earlier versions served programs on this machine without a token. */
  const reportLocal = (address: string | undefined, what: string): void => {
    if (isReported || !isLoopback(address)) return
    isReported = true
    log.warn({}, `a program or proxy on this machine was refused /metrics. ${what}`)
  }

  // A token that an operator chose can be guessed.
  const onRequest = app.failureLimits.check
  app.get('/metrics', { schema, onRequest }, async (request, reply) => {
    const { authorization } = request.headers
    const { remoteAddress } = request.socket
    void reply.header('cache-control', 'no-store')
    if (config.metricsToken === null) {
      reportLocal(remoteAddress, NO_TOKEN)
      const answer = publicError(new BrokerError('invalid_request', { description: NO_TOKEN }))
      return sendError({ ...answer, status: 404 }, request, reply)
    }
    if (!hasMetricsToken(authorization, config.metricsToken)) {
      reportLocal(remoteAddress, WRONG_TOKEN)
      throw new BrokerError('invalid_token', { description: WRONG_TOKEN })
    }
    return reply.type(metrics.registry.contentType).send(await metrics.text())
  })
}

/** Does the `Authorization` header carry the metrics token (RFC 6750 2.1)? */
export function hasMetricsToken(authorization: string | undefined, token: Secret): boolean {
  const sent = /^Bearer +(.+)$/i.exec(authorization ?? '')?.[1] ?? ''
  return equalHashes(sha256(sent), sha256(token.reveal()))
}
