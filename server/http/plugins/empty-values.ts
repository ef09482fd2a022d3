import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../../errors.ts'
import { omitEmpty } from '../../oauth/parameters.ts'

/**
 * For the endpoints of apps. An empty body is no body, whatever its content type says: many libraries send a
 * content type with every POST. A parameter without a value counts as omitted. `request.body` is then an
 * object without it.
 */
export function omitEmptyValues(app: FastifyInstance): void {
  app.addHook('preParsing', (request, _reply, payload, done) => {
    const { 'transfer-encoding': encoding, 'content-length': length = '0' } = request.headers
    if (encoding === undefined) {
      if (Number(length) === 0) dropContentHeaders(request)
      return done(null, payload)
    }
    // Whether a chunked body is empty is known when its first chunk or its end arrives.
    const decide = (error: Error | null) => {
      payload
        .off('readable', onReadable)
        .off('end', onEnd)
        .off('error', decide)
        .off('close', onClose)
      done(error, payload)
    }
    const onReadable = () => {
      const chunk = payload.read() as Buffer | null
      if (chunk === null) return
      payload.unshift(chunk)
      decide(null)
    }
    const onEnd = () => {
      dropContentHeaders(request)
      decide(null)
    }
    const onClose = () => decide(new BrokerError('invalid_request'))
    payload.on('readable', onReadable).on('end', onEnd).on('error', decide).on('close', onClose)
  })
  app.addHook('preValidation', (request, _reply, done) => {
    const body = request.body ?? {}
    request.body = isObject(body) ? omitEmpty(body) : body
    done()
  })
}

const isObject = (body: unknown): body is Record<string, unknown> =>
  typeof body === 'object' && !Array.isArray(body)

/** Without these headers, Fastify parses no body. */
function dropContentHeaders({ raw: { headers } }: FastifyRequest): void {
  delete headers['content-type']
  delete headers['transfer-encoding']
  delete headers['content-length']
}
