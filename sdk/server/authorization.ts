import { digest, randomText } from '../shared/base64url.ts'
import { BrokerError } from '../shared/error.ts'
import type { Authenticate } from './client-authentication.ts'
import { formOf } from './http.ts'
import type { Answer, Call, CallOptions, Runtime } from './http.ts'
import { decodeJwt } from './jwt.ts'

/** How a user is asked to connect. */
export interface AuthorizationOptions extends CallOptions {
  /** Exactly a registered one. */
  redirectUri: string
  /** `openid`, `profile`, `projects`, separated by spaces. Default: `projects`. */
  scope?: string
  /** Username or account id of the account to connect. */
  loginHint?: string
  /** Refuse any other account than that of `loginHint`. */
  strictAccount?: boolean
  /** The app's own id of the user, by which `listGrants` finds the grant. */
  externalId?: string
}

/** What `handleCallback` needs. Keep it in the user's session, on the server: it is plain JSON and works once. */
export interface AuthorizationFlow {
  state: string
  codeVerifier: string
  redirectUri: string
  /** With the scope `openid`. */
  nonce?: string
}

/** A user who has connected. */
export interface Connected {
  grantId: string
  connectionId: string
  /** The scopes that the user granted, separated by spaces. */
  scope: string
  /** Store it only if the app works without offline access: see `swap`. */
  brokerToken: string
  /** When the broker token expires, Unix seconds. */
  expiresAt: number
  /** With the scope `openid`: `id` is the same for every app of this broker. With `profile`: the username. */
  user?: { id: string; username?: string }
}

/** A request as frameworks have it. A relative URL counts from the redirect URI. */
export type CallbackRequest = URL | string | { url?: string | undefined }

/** Pushes an authorization request (RFC 9126, RFC 7636). */
export async function pushAuthorization(
  { call, authenticate, broker, clientId }: AuthorizationContext,
  options: AuthorizationOptions,
): Promise<{ url: string; flow: AuthorizationFlow }> {
  const { redirectUri, scope, loginHint, strictAccount, externalId } = options
  const asksWho = scope?.split(' ').includes('openid') ?? false
  const nonce = asksWho ? randomText() : undefined
  const flow = { state: randomText(), codeVerifier: randomText(), redirectUri }
  const fields = {
    response_type: 'code',
    redirect_uri: redirectUri,
    state: flow.state,
    code_challenge: await digest(flow.codeVerifier),
    code_challenge_method: 'S256',
    scope,
    nonce,
    login_hint: loginHint,
    strict_account: strictAccount ? 'true' : undefined,
    external_id: externalId,
  }
  const init = async () => formOf({ ...fields, ...(await authenticate()) })
  const pushed = await call({ path: '/oauth/par', init }, options)
  const query = { client_id: clientId, request_uri: String(pushed.request_uri) }
  const url = `${broker}/oauth/authorize?${new URLSearchParams(query).toString()}`
  return { url, flow: { ...flow, ...(nonce !== undefined && { nonce }) } }
}

/** Parts of the client that the functions here share. */
export interface AuthorizationContext {
  call: Call
  authenticate: Authenticate
  /** The broker's public URL, which is the issuer. */
  broker: string
  clientId: string
  now: Runtime['now']
}

/** Checks the answer to an authorization request (RFC 6749 4.1.2, RFC 9207), and redeems its code. */
export async function redeemCallback(
  context: AuthorizationContext,
  callback: CallbackRequest,
  flow: AuthorizationFlow,
  options: CallOptions = {},
): Promise<Connected> {
  const code = readCallback(context.broker, callback, flow)
  const init = async () =>
    formOf({
      grant_type: 'authorization_code',
      code,
      redirect_uri: flow.redirectUri,
      code_verifier: flow.codeVerifier,
      ...(await context.authenticate()),
    })
  // A code that is used twice revokes its grant.
  const answer = await context.call({ path: '/oauth/token', init, once: true }, options)
  const user = readUser(context, answer, flow)
  // With --tokens ellipsis, the access token is Ellipsis Drive's.
  const brokerToken = String(answer.refresh_token ?? answer.access_token)
  const { grant_id: grantId, sub, exp } = decodeJwt(brokerToken)
  return {
    grantId: String(grantId),
    connectionId: String(sub),
    scope: String(answer.scope),
    brokerToken,
    expiresAt: Number(exp),
    ...(user && { user }),
  }
}

/** The code in a callback. */
function readCallback(broker: string, callback: CallbackRequest, flow: AuthorizationFlow): string {
  const address =
    callback instanceof URL || typeof callback === 'string' ? callback : (callback.url ?? '')
  const query = new URL(address, flow.redirectUri).searchParams
  if (query.get('state') !== flow.state) throw invalid('The state is not that of this flow.')
  if (query.get('iss') !== broker) throw invalid('The answer is not from this broker.')
  const error = query.get('error')
  if (error !== null) throw new BrokerError(error, query.get('error_description') ?? error)
  const code = query.get('code')
  if (code === null) throw invalid('The answer has no code.')
  return code
}

/** The user of an ID token. It came from the broker itself, so the connection proves it (OpenID Connect Core 3.1.3.7). */
function readUser(
  { broker, clientId, now }: AuthorizationContext,
  { id_token: token }: Answer,
  { nonce }: AuthorizationFlow,
): Connected['user'] {
  if (nonce === undefined) return undefined
  if (typeof token !== 'string') throw invalid('The answer has no ID token.')
  const { iss, aud, exp, nonce: given, sub, preferred_username: username } = decodeJwt(token)
  const isOurs = iss === broker && aud === clientId && given === nonce
  if (!isOurs || Number(exp) * 1000 < now() - MAX_CLOCK_SKEW_MS)
    throw invalid('The ID token is not for this flow.')
  return { id: String(sub), ...(typeof username === 'string' && { username }) }
}

const MAX_CLOCK_SKEW_MS = 60_000

const invalid = (message: string) => new BrokerError('invalid_state', message)
