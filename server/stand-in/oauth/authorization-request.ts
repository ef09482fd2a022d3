import { SCOPE } from '../access-tokens.ts'
import type { Challenge } from '../codes.ts'
import type { Client } from '../stand-in.ts'
import { OAuthError } from './errors.ts'
import type { Parameters } from './parameters.ts'
import { eachOnce } from './parameters.ts'

/** Columns of Ellipsis Drive's database: what is longer can't be kept. */
const STATE_LENGTH = 50
const CHALLENGE_LENGTH = 50

/** An authorization request that may be put before a user. */
export interface AuthorizationRequest {
  client: Client
  /** As it was sent; `undefined` if it wasn't. */
  sentRedirectUri: string | undefined
  returnTo: ReturnTo
  challenge: Challenge | undefined
}

/** Where answers go. */
export interface ReturnTo {
  redirectUri: string
  state: string | undefined
}

/** A fault that the client is told at its redirect URI. */
export class AuthorizationError extends OAuthError {
  readonly returnTo: ReturnTo

  constructor(code: OAuthError['code'], description: string, returnTo: ReturnTo) {
    super(code, description)
    this.returnTo = returnTo
  }
}

/**
 * Reads an authorization request (RFC 6749 4.1.1, RFC 7636 4.3).
 * @throws OAuthError for what only the user may be told: client, redirect URI or state are wrong
 * @throws AuthorizationError for what the client is told
 */
export function readAuthorizationRequest(query: unknown, clients: Client[]): AuthorizationRequest {
  const parameters = eachOnce(query)
  const client = clients.find(({ id }) => id === parameters.client_id)
  if (!client) throw new OAuthError('invalid_client', 'client_id is not known.')
  const { redirect_uri: sentRedirectUri } = parameters
  const redirectUri = readRedirectUri(sentRedirectUri, client)
  const returnTo = { redirectUri, state: readState(parameters) }
  checkKind(parameters, returnTo)
  return { client, sentRedirectUri, returnTo, challenge: readChallenge(parameters, returnTo) }
}

function readRedirectUri(sent: string | undefined, { redirectUris }: Client): string {
  const lone = redirectUris.length === 1 ? redirectUris[0] : undefined
  const redirectUri = sent === undefined ? lone : redirectUris.find((uri) => uri === sent)
  if (redirectUri === undefined) {
    throw new OAuthError('invalid_request', 'redirect_uri is not one of those registered.')
  }
  return redirectUri
}

function readState({ state }: Parameters): string | undefined {
  if (state !== undefined && state.length > STATE_LENGTH) {
    throw new OAuthError('invalid_request', `state is longer than ${STATE_LENGTH} characters.`)
  }
  return state
}

function checkKind({ response_type: type, scope = SCOPE }: Parameters, returnTo: ReturnTo): void {
  if (type !== 'code') {
    const description = 'response_type must be code.'
    throw new AuthorizationError('unsupported_response_type', description, returnTo)
  }
  if (scope !== SCOPE) {
    throw new AuthorizationError('invalid_scope', `The only scope is ${SCOPE}.`, returnTo)
  }
}

function readChallenge(parameters: Parameters, returnTo: ReturnTo): Challenge | undefined {
  const { code_challenge: value, code_challenge_method: method = 'plain' } = parameters
  if (value === undefined) return undefined
  if (method !== 'S256' && method !== 'plain') {
    const description = 'code_challenge_method must be S256 or plain.'
    throw new AuthorizationError('invalid_request', description, returnTo)
  }
  if (value.length > CHALLENGE_LENGTH) {
    const description = `code_challenge is longer than ${CHALLENGE_LENGTH} characters.`
    throw new AuthorizationError('invalid_request', description, returnTo)
  }
  return { value, method }
}
