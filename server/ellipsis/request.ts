import type { Secret } from '../secret.ts'

/** How the broker makes itself known to the token endpoint. */
export interface Client {
  clientId: string
  clientSecret: Secret
  tokenRequest: 'form' | 'json'
}

/**
 * A token request. Which encoding the service reads is not documented: a form with Basic authentication is
 * RFC 6749's, JSON with the credentials in the body is how its first-party clients post.
 */
export function tokenRequest(client: Client, fields: Record<string, string>): RequestInit {
  const { clientId, clientSecret } = client
  if (client.tokenRequest === 'json') {
    const credentials = { client_id: clientId, client_secret: clientSecret.reveal() }
    const headers = { ...common, 'content-type': 'application/json' }
    return { method: 'POST', headers, body: JSON.stringify({ ...fields, ...credentials }) }
  }
  const authorization = basic(clientId, clientSecret)
  const headers = { ...common, authorization, 'content-type': 'application/x-www-form-urlencoded' }
  return { method: 'POST', headers, body: new URLSearchParams(fields).toString() }
}

/** A request of the API on a user's behalf (RFC 6750 2.1). */
export const bearerRequest = (accessToken: Secret): RequestInit => ({
  headers: { ...common, authorization: `Bearer ${accessToken.reveal()}` },
})

const common = { accept: 'application/json', 'user-agent': 'ellipsis-broker' }

/** RFC 6749 2.3.1: both parts are form-encoded first. */
function basic(id: string, secret: Secret): string {
  const encode = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  const pair = `${encode(id)}:${encode(secret.reveal())}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}
