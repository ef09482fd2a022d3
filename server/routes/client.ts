import type { FastifyRequest } from 'fastify'
import type { App } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Services } from '../services.ts'

/**
 * The app that a form request authenticates as: by Basic, by the form, or, if public, by its id alone
 * (RFC 6749 2.3.1). `null`: it names none. @throws BrokerError `invalid_client`, `invalid_request`
 */
export async function authenticate(
  request: FastifyRequest,
  body: { client_id?: string | undefined; client_secret?: string | undefined },
  { apps }: Services,
): Promise<App | null> {
  const basic = parseBasic(request.headers.authorization)
  if (basic && body.client_secret !== undefined) {
    throw new BrokerError('invalid_request', { description: 'Authenticate in one way only.' })
  }
  if (basic && body.client_id !== undefined && body.client_id !== basic.clientId) {
    throw new BrokerError('invalid_client')
  }
  if (basic) return apps.authenticate(basic)
  const { client_id: clientId, client_secret: secret } = body
  if (clientId === undefined && secret === undefined) return null
  const clientSecret = secret === undefined ? null : new Secret(secret)
  return apps.authenticate({ clientId: clientId ?? '', clientSecret })
}

export function mustAuthenticate(client: App | null): App {
  if (client) return client
  throw new BrokerError('invalid_client')
}

function parseBasic(header: string | undefined) {
  if (header === undefined) return undefined
  const encoded = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(header)?.[1]
  if (encoded === undefined) throw new BrokerError('invalid_client')
  const [id, ...rest] = Buffer.from(encoded, 'base64').toString().split(':')
  const secret = formDecode(rest.join(':'))
  // An empty password is how some clients send a public app's id.
  return { clientId: formDecode(id ?? ''), clientSecret: secret === '' ? null : new Secret(secret) }
}

/** RFC 6749 2.3.1: both parts are form-encoded before Basic encodes them. */
function formDecode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new BrokerError('invalid_client')
  }
}
