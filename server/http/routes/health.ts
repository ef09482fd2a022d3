import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Config } from '../../config/config.ts'
import type { Clock } from '../../runtime.ts'
import { equalHashes, sha256 } from '../../crypto/hash.ts'
import { isLocalPeer, isUnknownProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'
import { sendNotFound } from './not-found.ts'
import { failure } from './schemas.ts'

const operation = { tags: ['operation'], security: [] }

const alive = {
  ...operation,
  operationId: 'healthz',
  summary: 'Is it alive?',
  response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'It answers.' }) },
}

const readiness = (status: 'ready' | 'not ready', description: string) =>
  Type.Object(
    {
      status: Type.Literal(status),
      store: Type.Boolean({ description: 'The database can be written to.' }),
      keys: Type.Boolean({ description: 'There is a key to sign with.' }),
      upstream: Type.Union([Type.Literal('ok'), Type.Literal('failing')], {
        description: 'How calls of Ellipsis Drive go. An outage there takes no broker out.',
      }),
      breaker: Type.Union(
        [Type.Literal('closed'), Type.Literal('open'), Type.Literal('half-open')],
        {
          description:
            'closed: they go through; open: one a second tries; half-open: they begin again, in turns.',
        },
      ),
    },
    { description },
  )

const ready = {
  ...operation,
  operationId: 'readyz',
  summary: 'Is it able to serve?',
  response: {
    200: readiness('ready', 'It is.'),
    503: readiness('not ready', 'It is not; its log says why.'),
  },
}

const figures = {
  ...operation,
  operationId: 'metrics',
  summary: 'Figures for Prometheus',
  security: [{ metricsToken: [] }, {}],
  response: {
    200: {
      description: 'In its text format.',
      content: { 'text/plain': { schema: Type.String() } },
    },
    404: failure(404, ['invalid_request'], 'To all who may not read them.'),
  },
}

/** For those who watch the broker: alive, able to serve, and its figures. */
export const healthRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { config, checkWritable, keys, breaker, metrics } = services

  app.get('/healthz', { schema: alive }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    // Whoever sets up a proxy learns from it whether visitors are told apart; `doctor` does.
    const mark = isUnknownProxy(request, config.publicUrl) ? '; unknown proxy' : ''
    void reply.header('x-seen-as', request.ip + mark)
    return { status: 'ok' }
  })

  // The check writes, and whoever asks is a stranger: once a second will do.
  const findTrouble = remembered(1000, services.clock, () =>
    checkWritable().then(
      () => null,
      (error: Error) => error,
    ),
  )

  app.get('/readyz', { schema: ready }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    const trouble = await findTrouble()
    const checks = { store: trouble === null, keys: await works(keys.current()) }
    const ready = checks.store && checks.keys
    const why = trouble && { err: trouble }
    if (!ready) request.log.error({ request: request.id, checks, ...why }, 'not ready')
    // An outage upstream is told, but no reason to take the broker out: cached tokens still serve.
    const state = breaker.state()
    const upstream = state === 'open' ? 'failing' : 'ok'
    void reply.code(ready ? 200 : 503)
    return { status: ready ? 'ready' : 'not ready', ...checks, upstream, breaker: state }
  })

  app.get('/metrics', { schema: figures }, async (request, reply) => {
    if (!mayRead(request, config)) return sendNotFound(request, reply)
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  })
}

const works = (check: Promise<unknown>): Promise<boolean> =>
  check.then(
    () => true,
    () => false,
  )

/** The answer of `ask`, asked anew when it is older than `milliseconds`. */
function remembered<T>(
  milliseconds: number,
  clock: Clock,
  ask: () => Promise<T>,
): () => Promise<T> {
  let [askedAt, answer]: [number, Promise<T> | null] = [0, null]
  return () => {
    if (answer === null || Math.abs(clock.now() - askedAt) >= milliseconds) {
      ;[askedAt, answer] = [clock.now(), ask()]
    }
    return answer
  }
}

/** A peer on this machine that no proxy stands in front of, or one with the token. */
function mayRead(request: FastifyRequest, { metricsToken, publicUrl }: Config): boolean {
  const given = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (metricsToken !== null && given !== undefined) {
    return equalHashes(sha256(given), sha256(metricsToken.reveal()))
  }
  return isLocalPeer(request, publicUrl)
}
