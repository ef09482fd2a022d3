import type { FastifyRequest } from 'fastify'
import type { Switches } from '../switches.ts'
import { OAuthError } from './errors.ts'

/** Parameters of a request; each was sent once. */
export type Parameters = Partial<Record<string, string>>

const CONTENT_TYPES = { form: 'application/x-www-form-urlencoded', json: 'application/json' }

/**
 * The token endpoint's parameters. A body in an unsupported encoding counts as empty, as in common
 * web frameworks.
 * @throws OAuthError invalid_request
 */
export function readTokenRequest(
  { body, headers }: FastifyRequest,
  { tokenRequest }: Pick<Switches, 'tokenRequest'>,
): Parameters {
  const type = headers['content-type'] ?? ''
  const isSupported = tokenRequest === 'any' || type.startsWith(CONTENT_TYPES[tokenRequest])
  return isSupported ? readParameters(body) : {}
}

/**
 * Checks that every parameter is a string and was sent once (RFC 6749 3.1). Empty ones are omitted.
 * @throws OAuthError invalid_request
 */
export function readParameters(parameters: unknown): Parameters {
  const entries = Object.entries(parameters ?? {})
  const invalid = entries.find(([, value]) => typeof value !== 'string')
  if (invalid)
    throw new OAuthError('invalid_request', `${invalid[0]} must be sent once, as a string.`)
  return Object.fromEntries(entries.filter(([, value]) => value !== ''))
}
