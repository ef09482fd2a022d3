import { Type } from 'typebox'
import type { TSchema } from 'typebox'
import { answers } from '../../errors.ts'
import type { OAuthCode } from '../../errors.ts'

/**
 * Schemas that several routes share. Those of answers are documentation (/openapi.json): a test holds
 * every one of them against a real answer, and nothing is filtered by them.
 */

/** What the OAuth endpoints take. */
export const FORM = 'application/x-www-form-urlencoded'

const seconds = (description: string) => Type.Integer({ minimum: 0, description })

/** An access token of Ellipsis Drive's, as every form of the swap gives it. */
export const accessTokenFields = {
  access_token: Type.String({ description: "Ellipsis Drive's access token." }),
  token_type: Type.Literal('Bearer'),
  expires_in: seconds('Seconds that it is valid for.'),
  scope: Type.String({ description: 'Always `projects`.' }),
}

export const expiresAt = Type.Integer({ description: 'When it ends, in Unix seconds.' })

/** There where the broker token is past half its life. */
export const renewedTokenFields = {
  broker_token: Type.Optional(
    Type.String({ description: 'A newer broker token: keep it instead of the old one.' }),
  ),
  broker_token_expires_in: Type.Optional(seconds('Seconds that the newer one is valid for.')),
}

const retryAfter = { type: 'integer', description: 'Seconds to wait.' }
const HEADERS: Record<number, object> = {
  401: { 'www-authenticate': { type: 'string', description: 'How to authenticate.' } },
  429: { 'retry-after': retryAfter },
  503: { 'retry-after': retryAfter },
}

/** What went wrong, for the answers of a route: OAuth's JSON by status, with the codes it can hold. */
export function failures(...codes: OAuthCode[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(codes, (code) => answers[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [status, failure(status, codes)]),
  )
}

/** One status whose body holds one of those codes. */
export function failure(status: number, codes: OAuthCode[], description?: string): TSchema {
  const error = Type.Enum(codes, { description: 'For programs.' })
  const fields = {
    error,
    error_description: Type.String({ description: 'For people.' }),
    reconnect_url: Type.Optional(
      Type.String({ format: 'uri', description: 'Where the user can connect again.' }),
    ),
    retry_after: Type.Optional(seconds('Seconds to wait, as in Retry-After.')),
  }
  const words = description ?? codes.map((code) => `\`${code}\`: ${answers[code].description}`)
  return Type.Object(fields, {
    description: [words].flat().join(' '),
    ...(HEADERS[status] && { headers: HEADERS[status] }),
  })
}

/** What is refused before it is read. */
export const unreadable = {
  413: failure(413, ['invalid_request'], 'The body is too large.'),
  415: failure(415, ['invalid_request'], 'Another content type than this endpoint takes.'),
}

/** A page for people. */
export const page = (description: string) => ({
  description,
  content: { 'text/html': { schema: { type: 'string' } } },
})

/** A redirect. */
export const redirect = (description: string) => ({
  description,
  headers: { location: { type: 'string', description: 'Where to.' } },
  type: 'null',
})
