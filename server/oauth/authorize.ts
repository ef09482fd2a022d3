import type { App, Hash, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { ErrorCode, ReturnAddress } from '../errors.ts'
import type { Parameters } from './parameters.ts'
import { findRedirectUri } from './redirect-uri.ts'

/** A valid authorization request (RFC 6749 4.1.1, RFC 7636 4.3). */
export interface AuthorizationRequest {
  app: App
  /** Empty on a plain connect link of an app without redirect URIs: the user returns nowhere. */
  redirectUri: string
  /** The app's own state. */
  state: string | null
  /** S256 challenge; `null` on a plain connect link, which issues no code. */
  challenge: string | null
  /** Thumbprint of the key that the app will prove (`dpop_jkt`, RFC 9449 10). */
  jkt: Hash | null
  scope: string
  /** Id of the connection that a reconnect link is for. */
  reconnect: string | null
  /** The device code that the user is answering. */
  deviceCodeHash: Hash | null
}

/** The only scope of Ellipsis Drive: every call except the account's security settings. */
export const SCOPE = 'projects'

/** The parameters of an authorization request. Others are ignored (RFC 6749 3.1). */
export const PARAMETER_NAMES = [
  'client_id',
  'redirect_uri',
  'response_type',
  'response_mode',
  'scope',
  'state',
  'code_challenge',
  'code_challenge_method',
  'dpop_jkt',
  'connection',
]

/** Longest `state` of an app. It is returned in a header, whose size proxies limit. */
const MAX_STATE_LENGTH_BYTES = 1024

/**
 * Checks an authorization request. App and redirect URI come first: while one of them is wrong, the browser
 * is not redirected.
 * @param isConnectLink `response_type`, a single redirect URI and the challenge may be omitted
 * @throws BrokerError without `returnTo` (show a page), or with it (redirect to the app)
 */
export async function checkAuthorization(
  store: Store,
  parameters: Parameters,
  isConnectLink: boolean,
): Promise<AuthorizationRequest> {
  const app = await findApp(store, parameters)
  const redirectUri = returnsNowhere(app, parameters, isConnectLink)
    ? ''
    : checkRedirectUri(app, parameters)
  const state = single(parameters.state) ?? null
  const fragment = app.deliver === 'fragment'
  const returnTo = redirectUri === '' ? undefined : { redirectUri, state, fragment }
  checkOnce(parameters, returnTo)
  checkState(app, state, returnTo)
  checkResponse(parameters, isConnectLink, fragment, returnTo)
  checkScope(parameters, returnTo)
  return {
    app,
    redirectUri,
    state,
    challenge: checkChallenge(parameters, isConnectLink, returnTo),
    jkt: checkThumbprint(parameters, returnTo),
    scope: SCOPE,
    reconnect: checkConnection(parameters, returnTo),
    deviceCodeHash: null,
  }
}

const single = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined

/** Nothing here is secret, so nothing is guessed: another site may send its visitors here with any parameters. */
function fail(code: ErrorCode, description: string, returnTo?: ReturnAddress): never {
  throw new BrokerError(code, { description, isGuess: false, ...(returnTo && { returnTo }) })
}

async function findApp(store: Store, { client_id: id }: Parameters): Promise<App> {
  if (typeof id !== 'string') fail('invalid_request', 'Send client_id once: the id of the app.')
  const app = await store.getApp(id)
  return (
    app ?? fail('invalid_request', 'The app that sent you here is not registered at this broker.')
  )
}

/** A device app has no redirect URI: its connect or reconnect link ends at the broker. */
const returnsNowhere = (app: App, parameters: Parameters, isConnectLink: boolean): boolean =>
  isConnectLink &&
  app.redirectUris.length === 0 &&
  parameters.redirect_uri === undefined &&
  parameters.code_challenge === undefined

function checkRedirectUri(app: App, { redirect_uri: requested }: Parameters): string {
  const onlyUri = app.redirectUris.length === 1 ? app.redirectUris[0] : undefined
  const uri = requested === undefined ? onlyUri : single(requested)
  const found = uri === undefined ? undefined : findRedirectUri(app.redirectUris, uri)
  if (found !== undefined) return found
  const description =
    uri === undefined
      ? 'Send redirect_uri once: it may be omitted only if the app has exactly one registered.'
      : 'The redirect URI is not one that this app has registered.'
  fail('invalid_request', description)
}

function checkOnce(parameters: Parameters, returnTo?: ReturnAddress): void {
  const repeated = PARAMETER_NAMES.find((name) => Array.isArray(parameters[name]))
  if (repeated !== undefined) fail('invalid_request', `Send ${repeated} once.`, returnTo)
}

function checkState(app: App, state: string | null, returnTo?: ReturnAddress): void {
  if (state === null && app.deliver === 'fragment') {
    fail('invalid_request', 'Send a state: answers in the fragment need one.', returnTo)
  }
  if (state !== null && Buffer.byteLength(state) > MAX_STATE_LENGTH_BYTES) {
    const description = 'Send a state of at most 1,024 bytes in UTF-8.'
    fail('invalid_request', description, returnTo && { ...returnTo, state: null })
  }
}

function checkResponse(
  parameters: Parameters,
  isConnectLink: boolean,
  fragment: boolean,
  returnTo?: ReturnAddress,
): void {
  const { response_type: type = isConnectLink ? 'code' : undefined, response_mode: mode } =
    parameters
  if (type === undefined) fail('invalid_request', 'Send response_type=code.', returnTo)
  if (type !== 'code') fail('unsupported_response_type', 'Use response_type=code.', returnTo)
  const expected = fragment ? 'fragment' : 'query'
  if (mode !== undefined && mode !== expected) {
    fail('invalid_request', `Omit response_mode, or use ${expected}.`, returnTo)
  }
}

function checkScope({ scope }: Parameters, returnTo?: ReturnAddress): void {
  if (scope !== undefined && scope !== SCOPE) {
    fail('invalid_scope', `The only scope is "${SCOPE}".`, returnTo)
  }
}

/** The connection id of a reconnect link. */
function checkConnection({ connection }: Parameters, returnTo?: ReturnAddress): string | null {
  if (connection === undefined) return null
  const id = single(connection)
  if (id !== undefined && /^con_[A-Za-z0-9_-]{22}$/.test(id)) return id
  fail('invalid_request', 'Send connection as the id of a connection, or omit it.', returnTo)
}

function checkThumbprint({ dpop_jkt: jkt }: Parameters, returnTo?: ReturnAddress): Hash | null {
  if (jkt === undefined) return null
  const text = single(jkt)
  if (text !== undefined && /^[A-Za-z0-9_-]{43}$/.test(text)) return text
  fail(
    'invalid_request',
    'Send dpop_jkt as a SHA-256 thumbprint: 43 characters of base64url.',
    returnTo,
  )
}

function checkChallenge(
  { code_challenge: challenge, code_challenge_method: method }: Parameters,
  isConnectLink: boolean,
  returnTo?: ReturnAddress,
): string | null {
  if (isConnectLink && challenge === undefined && method === undefined) return null
  if (method !== 'S256' || challenge === undefined) {
    fail('invalid_request', 'Send a code_challenge with code_challenge_method=S256.', returnTo)
  }
  const text = single(challenge)
  if (text === undefined || !/^[A-Za-z0-9_-]{43}$/.test(text)) {
    fail('invalid_request', 'Send an S256 code_challenge: 43 characters of base64url.', returnTo)
  }
  return text
}
