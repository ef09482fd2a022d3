import type { App, Hash, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { ErrorCode, ReturnAddress } from '../errors.ts'
import { findRedirectUri } from './redirect-uri.ts'

/** Parameters as a browser sent them; a name given twice has a list. */
export type Parameters = Record<string, string | string[] | undefined>

/** A request for authorization that holds (RFC 6749 4.1.1, RFC 7636 4.3). */
export interface AuthorizationRequest {
  app: App
  /** Empty: nowhere, on a plain connect link of an app that has none. */
  redirectUri: string
  /** The app's own state. */
  state: string | null
  /** S256 challenge; `null` on a plain connect link, which issues no code. */
  challenge: string | null
  /** Thumbprint of the key that the app will prove (RFC 9449 10). */
  jkt: Hash | null
  scope: string
  /** The connection that a reconnect link means. */
  reconnect: string | null
  /** The device code that a person is answering. */
  deviceCodeHash: Hash | null
}

/** The one scope of Ellipsis Drive: every call but the account's security settings. */
export const SCOPE = 'projects'

/** Longest state that is kept for an app, in characters. */
const MAX_STATE = 1024

/**
 * Checks a request for authorization. App and redirect URI come first: while either is wrong, nothing
 * is sent anywhere.
 * @param plain a connect link: `response_type`, a lone redirect URI and the challenge may be left out
 * @throws BrokerError without `returnTo` (show a page), or with it (tell the app)
 */
export async function checkAuthorization(
  store: Store,
  parameters: Parameters,
  plain: boolean,
): Promise<AuthorizationRequest> {
  const app = await findApp(store, parameters)
  const redirectUri = nowhere(app, parameters, plain) ? '' : checkRedirectUri(app, parameters)
  const state = single(parameters.state) ?? null
  const fragment = app.deliver === 'fragment'
  const returnTo = redirectUri === '' ? undefined : { redirectUri, state, fragment }
  checkOnce(parameters, returnTo)
  checkState(app, state, returnTo)
  checkResponse(parameters, plain, fragment, returnTo)
  checkScope(parameters, returnTo)
  return {
    app,
    redirectUri,
    state,
    challenge: checkChallenge(parameters, plain, returnTo),
    jkt: checkThumbprint(parameters, returnTo),
    scope: SCOPE,
    reconnect: checkConnection(parameters, returnTo),
    deviceCodeHash: null,
  }
}

const single = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined

function fail(code: ErrorCode, description: string, returnTo?: ReturnAddress): never {
  throw new BrokerError(code, { description, ...(returnTo && { returnTo }) })
}

async function findApp(store: Store, { client_id: id }: Parameters): Promise<App> {
  const app = typeof id === 'string' ? await store.getApp(id) : undefined
  return app ?? fail('invalid_request', 'The app that sent you here is not registered here.')
}

/** An app of devices alone has nowhere to return to: its plain link, as for a reconnect, ends here. */
const nowhere = (app: App, parameters: Parameters, plain: boolean): boolean =>
  plain &&
  app.redirectUris.length === 0 &&
  parameters.redirect_uri === undefined &&
  parameters.code_challenge === undefined

function checkRedirectUri(app: App, { redirect_uri: asked }: Parameters): string {
  const lone = app.redirectUris.length === 1 ? app.redirectUris[0] : undefined
  const uri = asked === undefined ? lone : single(asked)
  const found = uri === undefined ? undefined : findRedirectUri(app.redirectUris, uri)
  const description = 'The address to return to is not one that this app has registered.'
  return found ?? fail('invalid_request', description)
}

function checkOnce(parameters: Parameters, returnTo?: ReturnAddress): void {
  const twice = Object.keys(parameters).find((name) => Array.isArray(parameters[name]))
  if (twice !== undefined) fail('invalid_request', 'Send each parameter once.', returnTo)
}

function checkState(app: App, state: string | null, returnTo?: ReturnAddress): void {
  if (state === null && app.deliver === 'fragment') {
    fail('invalid_request', 'Send a state: answers in the fragment need one.', returnTo)
  }
  if (state !== null && state.length > MAX_STATE) {
    const description = `Send a state of at most ${MAX_STATE} characters.`
    fail('invalid_request', description, returnTo && { ...returnTo, state: null })
  }
}

function checkResponse(
  parameters: Parameters,
  plain: boolean,
  fragment: boolean,
  returnTo?: ReturnAddress,
): void {
  const { response_type: type = plain ? 'code' : undefined, response_mode: mode } = parameters
  if (type === undefined) fail('invalid_request', 'Send response_type=code.', returnTo)
  if (type !== 'code') fail('unsupported_response_type', 'Use response_type=code.', returnTo)
  const expected = fragment ? 'fragment' : 'query'
  if (mode !== undefined && mode !== expected) {
    fail('invalid_request', `Leave out response_mode, or use ${expected}.`, returnTo)
  }
}

function checkScope({ scope }: Parameters, returnTo?: ReturnAddress): void {
  if (scope !== undefined && scope !== SCOPE) {
    fail('invalid_scope', `The only scope is "${SCOPE}".`, returnTo)
  }
}

/** The connection that a reconnect link means, by an id of the broker's own making. */
function checkConnection({ connection }: Parameters, returnTo?: ReturnAddress): string | null {
  if (connection === undefined) return null
  const id = single(connection)
  if (id !== undefined && /^con_[A-Za-z0-9_-]{22}$/.test(id)) return id
  fail('invalid_request', 'connection is not the id of a connection.', returnTo)
}

function checkThumbprint({ dpop_jkt: jkt }: Parameters, returnTo?: ReturnAddress): Hash | null {
  if (jkt === undefined) return null
  const text = single(jkt)
  if (text !== undefined && /^[A-Za-z0-9_-]{43}$/.test(text)) return text
  fail('invalid_request', 'dpop_jkt is a SHA-256 thumbprint: 43 characters of base64url.', returnTo)
}

function checkChallenge(
  { code_challenge: challenge, code_challenge_method: method }: Parameters,
  plain: boolean,
  returnTo?: ReturnAddress,
): string | null {
  if (plain && challenge === undefined && method === undefined) return null
  if (method !== 'S256' || challenge === undefined) {
    fail('invalid_request', 'Send a code_challenge with code_challenge_method=S256.', returnTo)
  }
  const text = single(challenge)
  if (text === undefined || !/^[A-Za-z0-9_-]{43}$/.test(text)) {
    fail('invalid_request', 'An S256 code_challenge has 43 characters of base64url.', returnTo)
  }
  return text
}
