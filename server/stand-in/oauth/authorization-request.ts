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

  constructor(error: OAuthError, returnTo: ReturnTo) {
    super(error.code, error.message)
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
  try {
    return { client, sentRedirectUri, returnTo, challenge: readDetails(parameters) }
  } catch (error) {
    throw error instanceof OAuthError ? new AuthorizationError(error, returnTo) : error
  }
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

function readDetails(parameters: Parameters): Challenge | undefined {
  if (parameters.response_type !== 'code') {
    throw new OAuthError('unsupported_response_type', 'response_type must be code.')
  }
  if ((parameters.scope ?? SCOPE) !== SCOPE) {
    throw new OAuthError('invalid_scope', `The only scope is ${SCOPE}.`)
  }
  return readChallenge(parameters)
}

function readChallenge(parameters: Parameters): Challenge | undefined {
  const { code_challenge: value, code_challenge_method: method = 'plain' } = parameters
  if (value === undefined) return undefined
  if (method !== 'S256' && method !== 'plain') {
    throw new OAuthError('invalid_request', 'code_challenge_method must be S256 or plain.')
  }
  if (value.length > CHALLENGE_LENGTH) {
    const description = `code_challenge is longer than ${CHALLENGE_LENGTH} characters.`
    throw new OAuthError('invalid_request', description)
  }
  return { value, method }
}
