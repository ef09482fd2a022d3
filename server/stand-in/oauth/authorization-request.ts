import { SCOPE } from '../access-tokens.ts'
import type { CodeChallenge } from '../authorization-codes.ts'
import type { Client } from '../stand-in.ts'
import { OAuthError } from './errors.ts'
import type { Parameters } from './parameters.ts'
import { readParameters } from './parameters.ts'

/** The column sizes of Ellipsis Drive's database. */
const MAX_STATE_LENGTH_CHARS = 50
const MAX_CHALLENGE_LENGTH_CHARS = 50

/** A valid authorization request. */
export interface AuthorizationRequest {
  client: Client
  /** `redirect_uri` of the request; `undefined` if the request had none. */
  sentRedirectUri: string | undefined
  returnTo: ReturnTo
  challenge: CodeChallenge | undefined
}

/** Where the authorization response goes. */
export interface ReturnTo {
  redirectUri: string
  state: string | undefined
}

/** An error that is sent to the client's redirect URI (RFC 6749 4.1.2.1). */
export class AuthorizationError extends OAuthError {
  readonly returnTo: ReturnTo

  constructor(code: OAuthError['code'], description: string, returnTo: ReturnTo) {
    super(code, description)
    this.returnTo = returnTo
  }
}

/**
 * Reads an authorization request (RFC 6749 4.1.1, RFC 7636 4.3).
 * @throws OAuthError shown only to the user: invalid client, redirect URI or state
 * @throws AuthorizationError sent to the client: all other errors
 */
export function readAuthorizationRequest(query: unknown, clients: Client[]): AuthorizationRequest {
  const parameters = readParameters(query)
  const client = clients.find(({ id }) => id === parameters.client_id)
  if (!client) throw new OAuthError('invalid_client', 'client_id is unknown.')
  const { redirect_uri: sentRedirectUri } = parameters
  const redirectUri = readRedirectUri(sentRedirectUri, client)
  const returnTo = { redirectUri, state: readState(parameters) }
  checkResponseTypeAndScope(parameters, returnTo)
  return { client, sentRedirectUri, returnTo, challenge: readChallenge(parameters, returnTo) }
}

function readRedirectUri(sent: string | undefined, { redirectUris }: Client): string {
  const only = redirectUris.length === 1 ? redirectUris[0] : undefined
  const redirectUri = sent === undefined ? only : redirectUris.find((uri) => uri === sent)
  if (redirectUri === undefined) {
    throw new OAuthError('invalid_request', 'redirect_uri is not registered for this client.')
  }
  return redirectUri
}

function readState({ state }: Parameters): string | undefined {
  if (state !== undefined && state.length > MAX_STATE_LENGTH_CHARS) {
    throw new OAuthError(
      'invalid_request',
      `state is longer than ${MAX_STATE_LENGTH_CHARS} characters.`,
    )
  }
  return state
}

function checkResponseTypeAndScope(
  { response_type: type, scope = SCOPE }: Parameters,
  returnTo: ReturnTo,
): void {
  if (type !== 'code') {
    const description = 'response_type must be code.'
    throw new AuthorizationError('unsupported_response_type', description, returnTo)
  }
  if (scope !== SCOPE) {
    throw new AuthorizationError('invalid_scope', `The only scope is ${SCOPE}.`, returnTo)
  }
}

function readChallenge(parameters: Parameters, returnTo: ReturnTo): CodeChallenge | undefined {
  const { code_challenge: value, code_challenge_method: method = 'plain' } = parameters
  if (value === undefined) return undefined
  if (method !== 'S256' && method !== 'plain') {
    const description = 'code_challenge_method must be S256 or plain.'
    throw new AuthorizationError('invalid_request', description, returnTo)
  }
  if (value.length > MAX_CHALLENGE_LENGTH_CHARS) {
    const description = `code_challenge is longer than ${MAX_CHALLENGE_LENGTH_CHARS} characters.`
    throw new AuthorizationError('invalid_request', description, returnTo)
  }
  return { value, method }
}
