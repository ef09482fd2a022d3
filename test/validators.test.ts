import AjvCompiler from '@fastify/ajv-compiler'
import type { FastifySchema } from 'fastify'
import t from 'tap'
import { schemaController } from '../server/validators.ts'
import { buildBroker } from './helper.ts'

const { buildValidator } = schemaController.compilersFactory

t.test('the schemas of all routes compile, which requests would find out otherwise', async (t) => {
  const { app } = await buildBroker(t)
  const compile = AjvCompiler()({}, { customOptions: { removeAdditional: false } })
  let count = 0
  for (const { method, url, schema } of app.routeTable) {
    const { body, querystring, params, headers }: FastifySchema = schema ?? {}
    for (const part of [body, querystring, params, headers]) {
      if (part === undefined) continue
      count++
      t.doesNotThrow(() => compile({ schema: part }), `${String(method)} ${url}`)
    }
  }
  t.ok(count > 20)
})

t.test('a schema is compiled by its first value', async (t) => {
  const compile = buildValidator({}, { customOptions: {} })
  const validate = compile({ schema: { type: 'object', required: ['name'] } })
  t.equal(validate({}), false)
  t.match(validate.errors, [{ keyword: 'required' }])
  t.equal(validate({ name: 'x' }), true)
  t.equal(validate.errors, null)
  const wrong = compile({ schema: { type: 'unknown' } })
  t.throws(() => wrong({}), /type must be/)
})
