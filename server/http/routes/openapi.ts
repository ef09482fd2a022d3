import type { FastifyPluginAsync } from 'fastify'
import type { Models, ReferenceField, ReferenceOperation } from '../../../views/models.ts'
import type { Config } from '../../config/config.ts'
import type { OpenApiDocument, Operation, Schema } from '../openapi-document.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'
import { page } from './schemas.ts'

interface Options {
  config: Config
  /** Builds the document when first called. */
  document: () => Promise<OpenApiDocument>
}

const jsonSchema = {
  operationId: 'openapi',
  tags: ['discovery'],
  summary: 'This description as OpenAPI',
  security: [],
  response: { 200: { description: 'An OpenAPI 3.1 document.', type: 'object' } },
}

/** The OpenAPI document, public and readable from any origin. */
export const openapiRoute: FastifyPluginAsync<Options> = async (app, { document }) => {
  allowAnyOrigin(app)
  app.get('/openapi.json', { schema: jsonSchema }, async (_request, reply) => {
    void reply.header('cache-control', 'public, max-age=300')
    return document()
  })
}

const pageSchema = {
  operationId: 'docs',
  tags: ['discovery'],
  summary: 'This description as a page',
  security: [],
  response: { 200: page('The same as a page.') },
}

/** The OpenAPI document as a page. */
export const referenceRoute: FastifyPluginAsync<Options> = async (app, { config, document }) => {
  app.get('/docs', { schema: pageSchema, config: { page: true } }, async (_request, reply) =>
    reply.page('reference', toReferenceModel(await document(), config)),
  )
}

function toReferenceModel(
  { info, tags, paths }: OpenApiDocument,
  { publicUrl, basePath }: Config,
): Models['reference'] {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  return {
    version: info.version,
    publicUrl,
    openapiUrl: `${basePath}/openapi.json`,
    groups: tags.map(({ name, description }) => ({
      name,
      about: description,
      operations: all
        .filter(({ operation }) => operation.tags.includes(name))
        .map(({ path, method, operation }) => toOperation(path, method, operation)),
    })),
  }
}

function toOperation(path: string, method: string, operation: Operation): ReferenceOperation {
  const { operationId, summary, description, parameters, requestBody, responses } = operation
  return {
    id: operationId,
    method: method.toUpperCase(),
    path,
    summary,
    about: description ?? '',
    parameters: (parameters ?? []).map(({ name, in: type, required, description = '' }) => ({
      name,
      type,
      required: required === true,
      about: description,
    })),
    body: requestBody ? toBody(requestBody.content) : null,
    answers: Object.entries(responses).map(([status, { description, content }]) => ({
      status,
      about: description,
      ...toBody(content ?? {}),
    })),
  }
}

function toBody(content: Record<string, { schema: Schema }>) {
  const [first] = Object.entries(content)
  return { type: first?.[0] ?? '', fields: first ? toFields(first[1].schema) : [] }
}

const toFields = ({ properties = {}, required = [] }: Schema): ReferenceField[] =>
  Object.entries(properties).map(([name, schema]) => ({
    name,
    type: toTypeText(schema),
    required: required.includes(name),
    about: schema.description ?? '',
  }))

function toTypeText({ type, const: value, enum: values, anyOf = [] }: Schema): string {
  if (value !== undefined) return JSON.stringify(value)
  if (values) return values.join(', ')
  return type ?? anyOf.map(toTypeText).join(', ')
}
