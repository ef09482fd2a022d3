import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { FastifyPluginAsync } from 'fastify'
import { readSdk, sdkModules } from '../../assets.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'

const schemaOf = (path: string) => ({
  operationId: path.replace('.js', '').replace('/', '-'),
  tags: ['discovery'],
  summary: path === 'sdk.js' ? 'The browser SDK' : `The browser SDK’s adapter ${path}`,
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
})

/** The browser SDK, for pages of any origin. */
export const sdkRoute: FastifyPluginAsync = async (app) => {
  allowAnyOrigin(app)
  for (const path of Object.keys(sdkModules)) {
    const load = once(async () => {
      const bytes = await readSdk(path)
      const zipped = gzipSync(bytes, { level: 9 })
      const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 16)
      return { bytes, zipped, hash }
    })
    const schema = schemaOf(path)
    app.get<{ Querystring: { v?: string } }>(`/${path}`, { schema }, async (request, reply) => {
      const { bytes, zipped, hash } = await load()
      const etag = `"${hash}"`
      const isForever = request.query.v === hash
      void reply.headers({
        'content-type': 'text/javascript; charset=utf-8',
        'cache-control': isForever ? 'public, max-age=31536000, immutable' : 'public, max-age=300',
        etag,
        vary: 'Accept-Encoding',
      })
      const { 'if-none-match': known = '', 'accept-encoding': accepted = '' } = request.headers
      if (known.includes(etag)) return reply.code(304).send()
      if (!/\bgzip\b/.test(accepted)) return reply.send(bytes)
      return reply.header('content-encoding', 'gzip').send(zipped)
    })
  }
}

function once<Result>(load: () => Promise<Result>): () => Promise<Result> {
  let loading: Promise<Result> | undefined
  return () => (loading ??= load())
}
