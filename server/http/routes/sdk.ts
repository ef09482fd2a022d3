import { createHash } from 'node:crypto'
import type { FastifyPluginAsync } from 'fastify'
import { readSdk } from '../../assets.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'

const schema = {
  operationId: 'sdk',
  tags: ['discovery'],
  summary: 'The browser SDK',
  description:
    'An ES module: `import { createClient } from "https://broker.example.com/sdk.js"`. With `?v=` and its `ETag` without quotes, browsers keep it forever.',
  security: [],
  querystring: {
    type: 'object',
    properties: { v: { type: 'string', description: 'The `ETag` without quotes.' } },
  },
  response: {
    200: { description: 'The module.', content: { 'text/javascript': { schema: {} } } },
    304: { description: 'The module of `If-None-Match`.', type: 'null' },
  },
}

/** The browser SDK, for pages of any origin. */
export const sdkRoute: FastifyPluginAsync = async (app) => {
  allowAnyOrigin(app)
  let loading: Promise<{ bytes: Uint8Array; hash: string }> | undefined
  const load = async () => {
    const bytes = await readSdk()
    const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 16)
    return { bytes, hash }
  }

  app.get<{ Querystring: { v?: string } }>('/sdk.js', { schema }, async (request, reply) => {
    const { bytes, hash } = await (loading ??= load())
    const etag = `"${hash}"`
    const isForever = request.query.v === hash
    void reply.headers({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': isForever ? 'public, max-age=31536000, immutable' : 'public, max-age=300',
      etag,
    })
    const { 'if-none-match': known = '' } = request.headers
    return known.includes(etag) ? reply.code(304).send() : reply.send(bytes)
  })
}
