import type { FastifySchemaValidationError } from 'fastify'

/** What a parameter takes. All others take any text, so the only possible error is that they are repeated. */
const EXPECTED: Record<string, string> = {
  grant_type: 'grant_type once, such as grant_type=authorization_code',
  token: 'token once, with the broker token',
  min_ttl: 'min_ttl once, in whole seconds from 0 to 999,999,999; in JSON as a number',
  path: 'path once, of at most 4,096 characters, such as /path/{id}/raster',
  prefix: 'prefix once, as true or false without quotes',
  expires_in: 'expires_in once, in whole seconds from 60 to 7,776,000 (90 days), as a number',
  force: 'force once, as true or false; in JSON without quotes',
}

/** The public message of a request that does not match its schema: names the parameter and what it takes. */
export function describeInvalid({ instancePath, params }: FastifySchemaValidationError): string {
  const { missingProperty } = params as { missingProperty?: string }
  const name = missingProperty ?? instancePath.split('/')[1] ?? ''
  if (name === '') return 'Send the parameters as one JSON object, or send no body.'
  return `Send ${EXPECTED[name] ?? `${name} once`}.`
}
