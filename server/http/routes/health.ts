import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import type { Clock } from '../../runtime.ts'
import { isUnknownProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'

/** How long a check of the store is reused. */
const READINESS_CACHE_MS = 1000
/** A locked store is not ready; load balancers and probes wait a second for the answer. */
const READINESS_TIMEOUT_MS = 800

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
  const { config, clock, checkWritable, keys, breaker } = services

  app.get('/healthz', { schema: healthSchema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    // Shows, also to `doctor`, whether the proxy settings let the broker see each client's address.
    const suffix = isUnknownProxy(request, config.publicUrl) ? '; unknown proxy' : ''
    void reply.header('x-seen-as', request.ip + suffix)
    return { status: 'ok' }
  })

  // The check writes to the database, and anyone may request it.
  const findStoreError = cached(READINESS_CACHE_MS, clock, withTimeLimit(checkWritable, clock))
  const findKeyError = withTimeLimit(() => keys.current(), clock)

  app.get('/readyz', { schema: readySchema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const [storeError, keyError] = await Promise.all([findStoreError(), findKeyError()])
    const checks = { store: storeError === null, keys: keyError === null }
    const ready = checks.store && checks.keys
    const cause = storeError && { err: storeError }
    if (!ready) request.log.error({ request: request.id, checks, ...cause }, 'not ready')
    // During an outage upstream the broker stays ready: it still serves cached tokens.
    const state = breaker.state()
    const upstream = state === 'open' ? 'failing' : 'ok'
    void reply.code(ready ? 200 : 503)
    return { status: ready ? 'ready' : 'not ready', ...checks, upstream, breaker: state }
  })
}

/**
 * The error of a check, or `null`; an error if it takes too long. A check that still runs is waited for again
 * instead of starting another.
 */
function withTimeLimit(check: () => Promise<unknown>, clock: Clock): () => Promise<Error | null> {
  let running: Promise<Error | null> | null = null
  return async () => {
    running ??= check()
      .then(
        () => null,
        (error: Error) => error,
      )
      .finally(() => (running = null))
    const checked = new AbortController()
    const timeout = clock.sleep(READINESS_TIMEOUT_MS, checked.signal)
    const message = `the database could not be written to within ${READINESS_TIMEOUT_MS} ms`
    return Promise.race([running, timeout.then(() => new Error(message))]).finally(() =>
      checked.abort(),
    )
  }
}

/** Caches the result of `load` for `lifetimeMs`. */
function cached<T>(lifetimeMs: number, clock: Clock, load: () => Promise<T>): () => Promise<T> {
  let [loadedAt, result]: [number, Promise<T> | null] = [0, null]
  return () => {
    if (result === null || Math.abs(clock.now() - loadedAt) >= lifetimeMs) {
      ;[loadedAt, result] = [clock.now(), load()]
    }
    return result
  }
}
