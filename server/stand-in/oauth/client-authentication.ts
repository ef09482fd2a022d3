import { unescape } from 'node:querystring'
import type { FastifyRequest } from 'fastify'
import type { Client } from '../stand-in.ts'
import { OAuthError } from './errors.ts'
import type { Parameters } from './parameters.ts'

interface Credentials {
  id: string
  secret: string
}

/**
 * Authenticates the client by HTTP Basic or by `client_id` and `client_secret` in the body, but not
 * both (RFC 6749 2.3).
 * @throws OAuthError invalid_client, invalid_request
 */
export function authenticateClient(
  { headers }: FastifyRequest,
  parameters: Parameters,
  clients: Client[],
): Client {
  const basic = readBasic(headers.authorization)
  const { client_id: id, client_secret: secret } = parameters
  if (basic && secret !== undefined) {
    throw new OAuthError('invalid_request', 'Use only one client authentication method.')
  }
  const credentials = basic ?? { id, secret }
  const client = clients.find(
    (known) => known.id === credentials.id && known.secret === credentials.secret,
  )
  if (!client) throw new OAuthError('invalid_client', 'Unknown client or wrong secret.')
  return client
}

/** Id and secret are form-encoded (RFC 6749 2.3.1). */
function readBasic(authorization: string | undefined): Credentials | undefined {
  const encoded = /^basic +(\S+)$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const pair = Buffer.from(encoded, 'base64').toString()
  const colon = pair.indexOf(':')
  return { id: formDecode(pair.slice(0, colon)), secret: formDecode(pair.slice(colon + 1)) }
}

const formDecode = (text: string): string => unescape(text.replaceAll('+', ' '))
