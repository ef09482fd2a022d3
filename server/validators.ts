import AjvCompiler from '@fastify/ajv-compiler'
import type { BuildCompilerFromPool } from '@fastify/ajv-compiler'

const buildCompiler = AjvCompiler()
type Validator = ReturnType<ReturnType<BuildCompilerFromPool>>

/**
 * Fastify's own compiler of route schemas, one for the process. A schema is compiled by the first request that it
 * validates: compiling all takes a quarter of a start. Comparing them with the schema of schemas would take
 * longer than that; a test does it instead.
 */
const buildValidator: BuildCompilerFromPool = (externalSchemas, options) => {
  const customOptions = { ...options?.customOptions, validateSchema: false }
  const compile = buildCompiler(externalSchemas, { customOptions })
  return (route) => {
    let compiled: Validator | undefined
    const validator: Pick<Validator, 'errors'> & ((data: unknown) => unknown) = (data) => {
      compiled ??= compile(route)
      const isValid = compiled(data)
      validator.errors = compiled.errors ?? null
      return isValid
    }
    // Fastify calls it and reads `errors`; the type has more.
    return validator as Validator
  }
}

export const schemaController = { compilersFactory: { buildValidator } }
