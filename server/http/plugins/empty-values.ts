import type { FastifyInstance, FastifyRequest } from 'fastify'
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
    const decide = () => {
      payload.off('readable', decide).off('end', decide).off('error', decide).off('close', decide)
      const chunk = payload.read() as Buffer | null
      if (chunk === null) dropContentHeaders(request)
      else payload.unshift(chunk)
      done(null, payload)
    }
    payload.on('readable', decide).on('end', decide).on('error', decide).on('close', decide)
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
