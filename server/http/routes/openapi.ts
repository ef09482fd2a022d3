import type { FastifyPluginAsync } from 'fastify'
import { build } from '../../assets.ts'
import { describeApi } from '../openapi.ts'
import type { Api, Document } from '../openapi.ts'
import type { HttpServices } from '../../services.ts'
import { referenceModel } from './reference-model.ts'
import { page } from './schemas.ts'

interface Options {
  services: HttpServices
  /** Every route there is, told while they are added. */
  routes: Api['routes']
}

/** One document for both routes of an app, made when first asked for. */
const documents = new WeakMap<Api['routes'], Promise<Document>>()

function documentOf({ services: { config }, routes }: Options): Promise<Document> {
  const { publicUrl, basePath } = config
  const known = documents.get(routes)
  if (known) return known
  const made = describeApi({ routes, publicUrl, basePath, version: build.version })
  documents.set(routes, made)
  return made
}

const machineReadable = {
  operationId: 'openapi',
  tags: ['discovery'],
  summary: 'This description',
  security: [],
  response: { 200: { description: 'An OpenAPI 3.1 document.', type: 'object' } },
}

/** The OpenAPI document: for everyone, from anywhere. */
export const openapiRoute: FastifyPluginAsync<Options> = async (app, options) => {
  app.get('/openapi.json', { schema: machineReadable }, async (_request, reply) => {
    void reply.headers({
      'access-control-allow-origin': '*',
      'cache-control': 'public, max-age=300',
    })
    return documentOf(options)
  })
}

const readable = {
  operationId: 'docs',
  tags: ['discovery'],
  summary: 'This description, for people',
  security: [],
  response: { 200: page('The same as a page.') },
}

/** The same, as a page to read. */
export const referenceRoute: FastifyPluginAsync<Options> = async (app, options) => {
  app.get('/docs', { schema: readable, config: { page: true } }, async (_request, reply) =>
    reply.page('reference', referenceModel(await documentOf(options), options.services.config)),
  )
}
