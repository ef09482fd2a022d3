import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { isUnknownProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'

const operation = { tags: ['operation'], security: [] }

const healthSchema = {
  ...operation,
  operationId: 'healthz',
  summary: 'Is the process alive?',
  response: {
    200: Type.Object({ status: Type.Literal('ok') }, { description: 'The process is alive.' }),
  },
}

const readinessResponse = (status: 'ready' | 'not ready', description: string) =>
  Type.Object(
    {
      status: Type.Literal(status),
      store: Type.Boolean({ description: 'The database can be written to.' }),
      keys: Type.Boolean({ description: 'There is an active signing key.' }),
      upstream: Type.Union([Type.Literal('ok'), Type.Literal('failing')], {
        description:
          'State of calls to Ellipsis Drive. An outage there does not make the broker unready.',
      }),
      client: Type.Union([Type.Literal('ok'), Type.Literal('refused')], {
        description:
          'refused: Ellipsis Drive refuses the client id or secret of this broker, so no account can be connected or refreshed.',
      }),
      breaker: Type.Union(
        [Type.Literal('closed'), Type.Literal('open'), Type.Literal('half-open')],
        {
          description:
            'State of the circuit breaker. closed: calls go through; open: one attempt a second; half-open: calls resume gradually.',
        },
      ),
    },
    { description },
  )

const readySchema = {
  ...operation,
  operationId: 'readyz',
  summary: 'Can the broker serve requests?',
  response: {
    200: readinessResponse('ready', 'Ready.'),
    503: readinessResponse('not ready', 'Not ready; the log says why.'),
  },
}

/** For monitoring: liveness and readiness. */
export const healthRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { config, checkReadiness, breaker, upstream } = services

  app.get('/healthz', { schema: healthSchema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    // Shows, also to `doctor`, whether the proxy settings let the broker see each client's address.
    const suffix = isUnknownProxy(request, config.publicUrl) ? '; unknown proxy' : ''
    void reply.header('x-seen-as', request.ip + suffix)
    return { status: 'ok' }
  })

  app.get('/readyz', { schema: readySchema }, async (_request, reply) => {
    void reply.header('cache-control', 'no-store')
    const { ready, ...checks } = await checkReadiness()
    // During an outage upstream the broker stays ready: it still serves cached tokens.
    const state = breaker.state()
    const about = {
      upstream: state === 'open' ? 'failing' : 'ok',
      client: upstream.clientRefusedSince() === null ? 'ok' : 'refused',
      breaker: state,
    }
    void reply.code(ready ? 200 : 503)
    return { status: ready ? 'ready' : 'not ready', ...checks, ...about }
  })
}
