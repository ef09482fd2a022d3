import { Type } from 'typebox'
import type { TSchema } from 'typebox'
import { grantedScope } from '../../oauth/scope.ts'
import { BrokerError, answers } from '../../errors.ts'
import type { OAuthCode } from '../../errors.ts'

/**
 * Schemas that routes share. Response schemas are documentation (/openapi.json): they do not filter
 * responses, and a test compares each with a real one.
 */

/** The content type of the OAuth endpoints. */
export const FORM = 'application/x-www-form-urlencoded'

/** An optional parameter or field of text. */
export const optionalText = (description: string) => Type.Optional(Type.String({ description }))

export const lifetimeSeconds = (description: string) => Type.Integer({ minimum: 0, description })

/** The parameters by which a client authenticates in a form. */
export const clientParameters = {
  client_id: optionalText('The app’s id.'),
  client_secret: optionalText('For a confidential app that does not use HTTP Basic.'),
  client_assertion_type: optionalText(
    '`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`.',
  ),
  client_assertion: optionalText('A JWT signed with a key of the app (RFC 7523).'),
}

/** The broker token in the forms of introspection and revocation. */
export const tokenParameter = (description: string) =>
  Type.String({ minLength: 1, maxLength: 8192, description })

export const scopeParameter = optionalText(
  '`openid`, `profile`, `projects`, separated by spaces. Omitted: `projects`.',
)

/** The scope to grant. @throws BrokerError `invalid_scope` */
export function checkScope({ scope }: { scope?: string | undefined }): string {
  const granted = grantedScope(scope)
  if (granted === null) throw new BrokerError('invalid_scope')
  return granted
}

const retryAfter = { type: 'integer', description: 'Seconds to wait.' }
const HEADERS: Record<number, object> = {
  401: { 'www-authenticate': { type: 'string', description: 'How to authenticate.' } },
  429: { 'retry-after': retryAfter },
  503: { 'retry-after': retryAfter },
}

/** The error responses of a route: OAuth's JSON by status, with the codes that it can have. */
export function failures(...codes: OAuthCode[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(codes, (code) => answers[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [status, failure(status, codes)]),
  )
}

/** The error response of one status, with one of `codes`. */
export function failure(status: number, codes: OAuthCode[], description?: string): TSchema {
  const error = Type.Enum(codes, { description: 'For programs.' })
  const fields = {
    error,
    error_description: Type.String({ description: 'For people.' }),
    reconnect_url: Type.Optional(
      Type.String({ format: 'uri', description: 'Where the user can connect again.' }),
    ),
    retry_after: Type.Optional(lifetimeSeconds('Seconds to wait, as in Retry-After.')),
  }
  const text = description ?? codes.map((code) => `\`${code}\`: ${answers[code].description}`)
  return Type.Object(fields, {
    description: [text].flat().join(' '),
    ...(HEADERS[status] && { headers: HEADERS[status] }),
  })
}

/** Error responses to a body that is rejected before it is read. */
export const bodyFailures = {
  413: failure(413, ['invalid_request'], 'The body is larger than 32 KiB.'),
  415: failure(415, ['invalid_request'], 'The endpoint does not accept this content type.'),
}

/** Error responses to a client that authenticates in the body. */
export const clientFailures = {
  ...failures(
    'invalid_request',
    'invalid_client',
    'slow_down',
    'server_error',
    'temporarily_unavailable',
  ),
  ...bodyFailures,
}

/** An HTML page. */
export const page = (description: string) => ({
  description,
  content: { 'text/html': { schema: { type: 'string' } } },
})

export const tooManyFailures = page(
  'Too many failures from this address; Retry-After says how long to wait.',
)

export const redirect = (description: string) => ({
  description,
  headers: { location: { type: 'string', description: 'Where to.' } },
  type: 'null',
})

/** For routes whose domain validates the parameters: the schema is documentation only. */
export const skipValidation = () => () => true
