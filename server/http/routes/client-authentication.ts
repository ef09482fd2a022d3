import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../../../db/store.ts'
import type { Credentials } from '../../oauth/apps.ts'
import { ASSERTION_TYPE, claimedSubject } from '../../oauth/client-assertion.ts'
import type { Proof } from '../../oauth/dpop.ts'
import type { NamedClient, PresentedToken } from '../../oauth/token-authentication.ts'
import { BrokerError } from '../../errors.ts'
import { pathOf } from '../plugins/strict-requests.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { readSession } from './session-cookie.ts'

/** The client's parameters in a form (RFC 6749 2.3.1). */
interface ClientParameters {
  client_id?: string | undefined
  client_secret?: string | undefined
  /** RFC 7521 4.2. */
  client_assertion?: string | undefined
  client_assertion_type?: string | undefined
}

/**
 * The client that a form request names: by Basic, in the form, with a signed assertion, or, if public, by its id
 * alone. Checks secret or assertion if there is one; the caller decides whether the app needs one. `null`: the request names no client.
 * @throws BrokerError `invalid_client`, `invalid_request`
 */
export async function identifyClient(
  request: FastifyRequest,
  body: ClientParameters,
  { apps }: HttpServices,
): Promise<NamedClient | null> {
  const credentials = readCredentials(request.headers.authorization, body)
  if (!credentials) return null
  if (credentials.clientSecret === null && !credentials.assertion)
    return { id: credentials.clientId, authenticated: false }
  const { id } = await apps.authenticate(credentials)
  request.clientAuthenticated = true
  return { id, authenticated: true }
}

/**
 * The app that sends the request, for endpoints that require client authentication.
 * @throws BrokerError `invalid_client`, `invalid_request`
 */
export async function authenticateClient(
  request: FastifyRequest,
  body: ClientParameters,
  { apps }: HttpServices,
): Promise<App> {
  const credentials = readCredentials(request.headers.authorization, body)
  if (!credentials) throw new BrokerError('invalid_client', { reason: 'client_id_missing' })
  const app = await apps.authenticate(credentials)
  request.clientAuthenticated = app.confidential
  return app
}

/**
 * Verifies the request's DPoP proof (RFC 9449 4.3); `null`: it has none. The response, even an error,
 * carries the nonce for the next proof.
 * @param accessToken the token that is presented with the proof, if any
 * @throws BrokerError `invalid_dpop_proof`, `use_dpop_nonce`
 */
export async function verifyProof(
  request: FastifyRequest,
  reply: FastifyReply,
  { dpop, config }: HttpServices,
  accessToken?: string,
): Promise<Proof | null> {
  const { dpop: proof } = request.headers
  if (typeof proof !== 'string') return null
  void reply.header('dpop-nonce', dpop.nonce())
  const { url: route = '' } = request.routeOptions
  // A route with parameters has many URLs; the proof names the one that was requested.
  const path = /[:*]/.test(route) ? pathOf(request.originalUrl).replace(/\?.*$/s, '') : route
  const url = new URL(config.publicUrl).origin + path
  return dpop.verify(proof, { method: request.method, url, accessToken })
}

function readCredentials(header: string | undefined, body: ClientParameters): Credentials | null {
  const { client_id: clientId, client_secret: secret } = body
  const assertion = readAssertion(body)
  const basic = parseBasic(header)
  if (assertion) {
    if (!basic && (secret === undefined || secret === '')) {
      // The form may omit the id: the assertion has it.
      return {
        clientId: clientId ?? claimedSubject(assertion) ?? '',
        clientSecret: null,
        assertion,
      }
    }
    const description = 'Authenticate with a secret or a client_assertion, not with both.'
    throw new BrokerError('invalid_request', { description, reason: 'client_credentials_twice' })
  }
  if (basic && secret !== undefined) {
    const description =
      'Send the client credentials once: in the Authorization header or in the form, not in both.'
    throw new BrokerError('invalid_request', { description, reason: 'client_credentials_twice' })
  }
  if (basic && clientId !== undefined && clientId !== basic.clientId) {
    throw new BrokerError('invalid_client', { reason: 'client_id_mismatch' })
  }
  if (basic) return basic
  if (clientId === undefined && secret === undefined) return null
  return {
    clientId: clientId ?? '',
    // An empty secret counts as omitted (RFC 6749 2.3.1).
    clientSecret: secret === undefined || secret === '' ? null : new Secret(secret),
  }
}

function parseBasic(header: string | undefined): Credentials | undefined {
  if (header === undefined) return undefined
  const encoded = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(header)?.[1]
  if (encoded === undefined) throw malformedHeader()
  const [id = '', ...rest] = Buffer.from(encoded, 'base64').toString().split(':')
  const secret = decodeFormValue(rest.join(':'))
  // Some clients send the id of a public app with an empty password.
  return { clientId: decodeFormValue(id), clientSecret: secret === '' ? null : new Secret(secret) }
}

/** @throws BrokerError `invalid_request` if the type is missing, `invalid_client` if it is another one */
function readAssertion(body: ClientParameters): Secret | null {
  const { client_assertion: assertion, client_assertion_type: type } = body
  if (assertion === undefined && type === undefined) return null
  if (assertion === undefined || type === undefined) {
    const description = `Send client_assertion together with client_assertion_type=${ASSERTION_TYPE}.`
    throw new BrokerError('invalid_request', { description, reason: 'client_assertion_incomplete' })
  }
  if (type === ASSERTION_TYPE) return new Secret(assertion)
  const description = `Use client_assertion_type=${ASSERTION_TYPE}.`
  throw new BrokerError('invalid_client', { description, reason: 'client_assertion_type' })
}

/** Both parts are form-encoded before Basic encodes them (RFC 6749 2.3.1). */
function decodeFormValue(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw malformedHeader()
  }
}

/**
 * Reads the broker token of a request, and the DPoP proof of the key that it is bound to.
 * @throws BrokerError `token_refused`, `invalid_dpop_proof`, `use_dpop_nonce`
 */
export async function readPresentedToken(
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
): Promise<PresentedToken> {
  const { token: brokerToken, bound } = readBearerToken(request.headers.authorization)
  const proof = bound ? await verifyProof(request, reply, services, brokerToken) : null
  if (bound && proof === null) {
    const description = 'Send a DPoP proof in the DPoP header.'
    throw new BrokerError('invalid_dpop_proof', { description, reason: 'dpop_proof_missing' })
  }
  return { brokerToken, client: null, proof }
}

const malformedHeader = (): BrokerError =>
  new BrokerError('invalid_client', { reason: 'authorization_header_malformed' })

/**
 * Reads a bearer token (RFC 6750 2.1), or one that is bound to a DPoP key (RFC 9449 7.1).
 * @throws BrokerError `token_refused`
 */
export function readBearerToken(header: string | undefined): { token: string; bound: boolean } {
  const [, scheme, token] = /^(Bearer|DPoP) +([^ ]+)$/i.exec(header ?? '') ?? []
  if (scheme === undefined || token === undefined) {
    const description = 'Send the broker token in the header "Authorization: Bearer TOKEN".'
    throw new BrokerError('token_refused', { description, reason: 'token_missing' })
  }
  return { token, bound: scheme.toLowerCase() === 'dpop' }
}

/**
 * The broker token of a request, with its DPoP proof if it is bound: from the header `Authorization` or, if the
 * header `x-client-id` names an app with sessions, from the app's cookie. The token is not checked yet.
 * @throws BrokerError `token_refused`, `invalid_dpop_proof`, `use_dpop_nonce`; and as `readSession`
 */
export async function readCaller(
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
): Promise<PresentedToken> {
  if (request.headers['x-client-id'] !== undefined) {
    const { token, session } = await readSession(request, reply, services)
    const client = { id: session.app.id, authenticated: false }
    return { brokerToken: token.reveal(), client, proof: null, isSession: true }
  }
  return readPresentedToken(request, reply, services)
}
