import type { FastifyRequest } from 'fastify'
import type { App } from '../../../db/store.ts'
import type { Credentials } from '../../oauth/apps.ts'
import type { NamedClient } from '../../oauth/swap.ts'
import { BrokerError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'

/** What a form says of the client (RFC 6749 2.3.1). */
interface ClientFields {
  client_id?: string | undefined
  client_secret?: string | undefined
}

/**
 * The client that a form request names: by Basic, by the form, or, if public, by its id alone.
 * A secret is checked; whether one is needed, the app itself says. `null`: none is named.
 * @throws BrokerError `invalid_client`, `invalid_request`
 */
export async function nameClient(
  request: FastifyRequest,
  body: ClientFields,
  { apps }: HttpServices,
): Promise<NamedClient | null> {
  const credentials = readCredentials(request.headers.authorization, body)
  if (!credentials) return null
  if (credentials.clientSecret === null) return { id: credentials.clientId, authenticated: false }
  const { id } = await apps.authenticate(credentials)
  request.appProven = true
  return { id, authenticated: true }
}

/** The app itself, where a request must prove which one it is. @throws BrokerError `invalid_client` */
export async function authenticateApp(
  request: FastifyRequest,
  body: ClientFields,
  { apps }: HttpServices,
): Promise<App> {
  const credentials = readCredentials(request.headers.authorization, body)
  if (!credentials) throw new BrokerError('invalid_client')
  const app = await apps.authenticate(credentials)
  request.appProven = app.confidential
  return app
}

function readCredentials(header: string | undefined, body: ClientFields): Credentials | null {
  const { client_id: clientId, client_secret: secret } = body
  const basic = parseBasic(header)
  if (basic && secret !== undefined) {
    throw new BrokerError('invalid_request', { description: 'Authenticate in one way only.' })
  }
  if (basic && clientId !== undefined && clientId !== basic.clientId) {
    throw new BrokerError('invalid_client')
  }
  if (basic) return basic
  if (clientId === undefined && secret === undefined) return null
  return {
    clientId: clientId ?? '',
    // An empty secret is none (RFC 6749 2.3.1).
    clientSecret: secret === undefined || secret === '' ? null : new Secret(secret),
  }
}

function parseBasic(header: string | undefined): Credentials | undefined {
  if (header === undefined) return undefined
  const encoded = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(header)?.[1]
  if (encoded === undefined) throw new BrokerError('invalid_client')
  const [id = '', ...rest] = Buffer.from(encoded, 'base64').toString().split(':')
  const secret = formDecode(rest.join(':'))
  // An empty password is how some clients send a public app's id.
  return { clientId: formDecode(id), clientSecret: secret === '' ? null : new Secret(secret) }
}

/** RFC 6749 2.3.1: both parts are form-encoded before Basic encodes them. */
function formDecode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new BrokerError('invalid_client')
  }
}
