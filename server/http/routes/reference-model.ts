import type { Models, ReferenceField, ReferenceOperation } from '../../../views/models.ts'
import type { Document, Operation, Schema } from '../openapi.ts'

/** The reference page's model, from the OpenAPI document. */
export function referenceModel(
  { info, tags, paths }: Document,
  { publicUrl, basePath }: { publicUrl: string; basePath: string },
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
        .map(({ path, method, operation }) => describe(path, method, operation)),
    })),
  }
}

function describe(path: string, method: string, operation: Operation): ReferenceOperation {
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
    body: requestBody ? bodyOf(requestBody.content) : null,
    answers: Object.entries(responses).map(([status, { description, content }]) => ({
      status,
      about: description,
      ...bodyOf(content ?? {}),
    })),
  }
}

function bodyOf(content: Record<string, { schema: Schema }>) {
  const [first] = Object.entries(content)
  return { type: first?.[0] ?? '', fields: first ? fieldsOf(first[1].schema) : [] }
}

const fieldsOf = ({ properties = {}, required = [] }: Schema): ReferenceField[] =>
  Object.entries(properties).map(([name, schema]) => ({
    name,
    type: typeOf(schema),
    required: required.includes(name),
    about: schema.description ?? '',
  }))

function typeOf({ type, const: only, enum: choices, anyOf = [] }: Schema): string {
  if (only !== undefined) return JSON.stringify(only)
  if (choices) return choices.join(', ')
  return type ?? anyOf.map(typeOf).join(', ')
}
