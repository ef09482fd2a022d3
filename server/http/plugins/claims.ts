import type { FastifyRequest } from 'fastify'

/** What a request claims about its client, unchecked. */

const MAX_CLIENT_ID_LENGTH_CHARS = 64

/** The client id, shortened as it may be any text; empty: none. */
export function claimedClientId({ headers, body, query, params }: FastifyRequest): string {
  const basic = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(headers.authorization ?? '')?.[1]
  // A request whose URL can't be decoded has neither parameters nor a query.
  const { clientId } = (params ?? {}) as { clientId?: unknown }
  const { 'x-client-id': ofSession = clientId } = headers
  const { client_id: id = ofSession } = (body ?? query ?? {}) as { client_id?: unknown }
  const claimed = basic === undefined ? id : Buffer.from(basic, 'base64').toString().split(':')[0]
  return typeof claimed === 'string' ? claimed.slice(0, MAX_CLIENT_ID_LENGTH_CHARS) : ''
}

/** The redirect URI; empty: none. */
export function claimedRedirectUri({ body, query }: FastifyRequest): string {
  const { redirect_uri: uri } = (body ?? query ?? {}) as { redirect_uri?: unknown }
  return typeof uri === 'string' ? uri : ''
}
