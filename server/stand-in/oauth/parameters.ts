import type { FastifyRequest } from 'fastify'
import type { Switches } from '../switches.ts'
import { OAuthError } from './errors.ts'

/** Parameters of a request, each sent once. */
export type Parameters = Partial<Record<string, string>>

const CONTENT_TYPES = { form: 'application/x-www-form-urlencoded', json: 'application/json' }

/**
 * The token endpoint's parameters. A body in an encoding that the service doesn't read counts as
 * empty, as with the body parsers that web frameworks use.
 */
export function readParameters(
  { body, headers }: FastifyRequest,
  { tokenRequest }: Pick<Switches, 'tokenRequest'>,
): Parameters {
  const type = headers['content-type'] ?? ''
  const isRead = tokenRequest === 'any' || type.startsWith(CONTENT_TYPES[tokenRequest])
  return isRead ? eachOnce(body) : {}
}

/**
 * Checks that every parameter is text and was sent once (RFC 6749 3.1); empty ones count as left out.
 * @throws OAuthError invalid_request
 */
export function eachOnce(parameters: unknown): Parameters {
  const entries = Object.entries(parameters ?? {})
  const odd = entries.find(([, value]) => typeof value !== 'string')
  if (odd) throw new OAuthError('invalid_request', `${odd[0]} must be sent once, as text.`)
  return Object.fromEntries(entries.filter(([, value]) => value !== ''))
}
