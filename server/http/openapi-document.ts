import fastify from 'fastify'
import type { RouteOptions } from 'fastify'

interface Api {
  /** All routes; those whose schema has an `operationId` are documented. */
  routes: Pick<RouteOptions, 'url' | 'method' | 'schema'>[]
  /** Its path is the prefix of the routes. */
  publicUrl: string
  basePath: string
  version: string
}

/** The parts of an OpenAPI 3.1 document that the reference page reads. */
export interface OpenApiDocument {
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

/** Returns a function that builds the document when first called, and then reuses it. */
export function createOpenApiDocument(api: Api): () => Promise<OpenApiDocument> {
  let document: Promise<OpenApiDocument> | undefined
  return () => (document ??= buildDocument(api))
}

/**
 * Builds the OpenAPI 3.1 document from the schemas of the routes. This takes some ten milliseconds, and a
 * library that nothing else needs: it is loaded here.
 */
async function buildDocument({ routes, publicUrl, basePath, version }: Api) {
  const { default: swagger } = await import('@fastify/swagger')
  const noop = () => () => true
  const app = fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(noop).setSerializerCompiler(() => () => '')
  await app.register(swagger, {
    convertConstToEnum: false,
    stripBasePath: false,
    openapi: { openapi: '3.1.0', servers: [{ url: publicUrl }], ...describeServer(version) },
  })
  for (const { url, method, schema } of routes) {
    const documented = schema !== undefined && 'operationId' in schema
    if (!documented || method === 'HEAD' || !url.startsWith(`${basePath}/`)) continue
    // OpenAPI has no wildcards: a parameter stands for the rest of the path.
    const path = url.slice(basePath.length).replace(/\*$/, ':path')
    app.route({ url: path, method, schema, handler: noop })
  }
  await app.ready()
  const document = app.swagger() as unknown as OpenApiDocument
  await app.close()
  return document
}

const describeServer = (version: string) => ({
  info: {
    title: 'Ellipsis Broker',
    version,
    description:
      'Connects users of Ellipsis Drive, stores their refresh tokens, and swaps broker tokens for valid access tokens.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  tags: [
    {
      name: 'connect',
      description: 'The user’s browser goes here, and returns to the app with a code.',
    },
    { name: 'tokens', description: 'Redeem the code, swap the broker token, revoke the grant.' },
    { name: 'drive', description: 'The Ellipsis Drive API, with a broker token.' },
    { name: 'grants', description: 'For offline apps: their grants, without their users.' },
    { name: 'events', description: 'For offline apps: what happened to their grants.' },
    { name: 'links', description: 'Read-only URLs to parts of a user’s drive.' },
    { name: 'discovery', description: 'Documents for client libraries.' },
    { name: 'operation', description: 'For operators and monitoring.' },
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
          'client_id and client_secret of a confidential app, here or in the form. A public app sends only its client_id.',
      },
      session: {
        type: 'apiKey' as const,
        in: 'cookie' as const,
        name: '__Host-session-{client_id}',
        description: 'The session of an app with `--session cookie`.',
      },
      clientId: {
        type: 'apiKey' as const,
        in: 'header' as const,
        name: 'x-client-id',
        description: 'The app whose session it is. The `Origin` must be one of the app’s.',
      },
      appToken: {
        type: 'http' as const,
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description:
          'The token that an offline app gets at /oauth/token with grant_type=client_credentials.',
      },
      metricsToken: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'BROKER_METRICS_TOKEN.',
      },
    },
  },
})
