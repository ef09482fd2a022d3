import fastify from 'fastify'
import type { RouteOptions } from 'fastify'

/** What is served where. */
export interface Api {
  /** Every route there is; those whose schema has an `operationId` are documented. */
  routes: Pick<RouteOptions, 'url' | 'method' | 'schema'>[]
  /** Where it is found; its path is the prefix of the routes. */
  publicUrl: string
  basePath: string
  version: string
}

/** The parts of an OpenAPI 3.1 document that the reference page reads. */
export interface Document {
  info: { title: string; version: string; description: string }
  tags: { name: string; description: string }[]
  paths: Record<string, Record<string, Operation>>
}

export interface Operation {
  operationId: string
  tags: string[]
  summary: string
  description?: string
  parameters?: { name: string; in: string; required?: boolean; description?: string }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>
}

export interface Schema {
  type?: string
  description?: string
  required?: string[]
  properties?: Record<string, Schema>
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
}

/**
 * The OpenAPI 3.1 document of the documented routes, from their own schemas. Takes some ten milliseconds
 * and a library that nothing else needs, so it is loaded and made when somebody asks.
 */
export async function describeApi({ routes, publicUrl, basePath, version }: Api) {
  const { default: swagger } = await import('@fastify/swagger')
  const nothing = () => () => true
  const app = fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(nothing).setSerializerCompiler(() => () => '')
  await app.register(swagger, {
    convertConstToEnum: false,
    stripBasePath: false,
    openapi: { openapi: '3.1.0', servers: [{ url: publicUrl }], ...about(version) },
  })
  for (const { url, method, schema } of routes) {
    const documented = schema !== undefined && 'operationId' in schema
    if (!documented || method === 'HEAD' || !url.startsWith(`${basePath}/`)) continue
    app.route({ url: url.slice(basePath.length), method, schema, handler: nothing })
  }
  await app.ready()
  const document = app.swagger() as unknown as Document
  await app.close()
  return document
}

const about = (version: string) => ({
  info: {
    title: 'Ellipsis Broker',
    version,
    description:
      'Takes users through Ellipsis Drive’s authorization, keeps their refresh tokens, and swaps broker tokens for fresh access tokens.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  tags: [
    { name: 'connect', description: 'A browser goes here, and comes back to the app with a code.' },
    { name: 'tokens', description: 'Redeem the code, swap the broker token, give it up.' },
    { name: 'discovery', description: 'What client libraries read by themselves.' },
    { name: 'operation', description: 'For those who run and watch the broker.' },
  ],
  components: {
    securitySchemes: {
      brokerToken: {
        type: 'http' as const,
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'The broker token of a public app.',
      },
      client: {
        type: 'http' as const,
        scheme: 'basic',
        description:
          'client_id and client_secret of a confidential app; it may send them in the form instead. A public app sends its client_id alone.',
      },
      metricsToken: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'BROKER_METRICS_TOKEN; programs on the same machine need none.',
      },
    },
  },
})
