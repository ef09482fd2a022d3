import type { App, Hash } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { ErrorCode, ReturnAddress } from '../errors.ts'
import type { Parameters } from './parameters.ts'
import { OPENID, PROJECTS, grantedScope, includesScope } from './scope.ts'

/**
 * How a request came: in the browser's URL, on a plain connect link, or pushed by the app (RFC 9126). On a link,
 * `response_type`, a single redirect URI and the challenge may be omitted.
 */
export type RequestKind = 'request' | 'link' | 'pushed'

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
  'nonce',
  'prompt',
  'max_age',
  'login_hint',
  'ui_locales',
  'request',
  'request_uri',
  'registration',
]

/** Those of a pushed request. Only an app that authenticates can vouch for the last two. */
export const PUSHED_NAMES = [...PARAMETER_NAMES, 'external_id', 'strict_account']

/** Longest `state` of an app. It is returned in a header, whose size proxies limit. */
const MAX_STATE_LENGTH_BYTES = 1024
const MAX_NONCE_LENGTH_CHARS = 256
/** In UTF-8 and JSON: a cookie has to carry them. */
const MAX_LOGIN_HINT_LENGTH_BYTES = 255
const MAX_EXTERNAL_ID_LENGTH_BYTES = 512
const MAX_EXTERNAL_ID_LENGTH_CHARS = 255

/** What the parameters say, besides app, redirect URI and state. */
export interface CheckedParameters {
  /** S256 challenge; `null`: none, as on a plain connect link, which issues no code. */
  challenge: string | null
  /** For the ID token; `null`: none. */
  nonce: string | null
  /** Ask for consent even if the app is trusted (`prompt`, OpenID Connect Core 3.1.2.1). */
  isConsentRequested: boolean
  /** Thumbprint of the key that the app will prove (`dpop_jkt`, RFC 9449 10). */
  jkt: Hash | null
  scope: string
  /** Id of the connection that a reconnect link is for. */
  reconnect: string | null
  /** Username or id of the account that the app asks for (`login_hint`, OpenID Connect Core 3.1.2.1). */
  loginHint: string | null
  /** Accept no other account than that of `loginHint` or `reconnect`. */
  isStrictAccount: boolean
  /** The app's own id of the user. */
  externalId: string | null
}

/**
 * Checks the parameters of a request whose app and redirect URI are known.
 * @throws BrokerError, with `returnTo` if it is given
 */
export function checkParameters(
  app: App,
  parameters: Parameters,
  kind: RequestKind,
  { state, returnTo }: { state: string | null; returnTo: ReturnAddress | undefined },
): CheckedParameters {
  const isConnectLink = kind === 'link'
  checkOnce(parameters, returnTo)
  checkPushed(app, parameters, kind, returnTo)
  checkState(app, state, returnTo)
  checkResponse(parameters, isConnectLink, app.deliver === 'fragment', returnTo)
  checkSessionRequest(app, parameters, isConnectLink, returnTo)
  checkUnsupported(parameters, returnTo)
  const scope = checkScope(app, parameters, returnTo)
  const nonce = checkNonce(parameters, isConnectLink, returnTo)
  const mayOmitChallenge = isConnectLink || isProvedByNonce(app, scope, nonce)
  return {
    challenge: checkChallenge(parameters, mayOmitChallenge, returnTo),
    nonce,
    isConsentRequested: checkPrompt(parameters, returnTo),
    jkt: checkThumbprint(parameters, returnTo),
    scope,
    reconnect: checkConnection(parameters, returnTo),
    loginHint: checkLoginHint(parameters, returnTo),
    ...checkOwnParameters(app, parameters, kind),
  }
}

/** A parameter that was sent once; `undefined`: it was not, or repeated. */
export const single = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined

/** @param reason for the log @throws BrokerError */
export function fail(
  code: ErrorCode,
  reason: string,
  description: string,
  returnTo?: ReturnAddress,
): never {
  throw new BrokerError(code, {
    ...{ reason, description, forDeveloper: true },
    ...(returnTo && { returnTo }),
  })
}

function checkOnce(parameters: Parameters, returnTo?: ReturnAddress): void {
  const repeated = PUSHED_NAMES.find((name) => Array.isArray(parameters[name]))
  if (repeated !== undefined)
    fail('invalid_request', 'parameter_repeated', `Send ${repeated} once.`, returnTo)
}

/** A plain link that gives the app nothing is no authorization request: others cannot gain by changing it. */
function checkPushed(
  app: App,
  { code_challenge: challenge, nonce }: Parameters,
  kind: RequestKind,
  returnTo?: ReturnAddress,
): void {
  if (app.par === 'optional' || kind === 'pushed') return
  const isPlain = challenge === undefined && nonce === undefined && app.deliver === 'code'
  if (kind === 'link' && isPlain) return
  const description =
    'This app must push its authorization requests: post the parameters to /oauth/par, and send the browser here with client_id and request_uri alone (RFC 9126).'
  fail('invalid_request', 'request_not_pushed', description, returnTo)
}

const jsonLength = (text: string): number => Buffer.byteLength(JSON.stringify(text)) - 2

function checkLoginHint({ login_hint: hint }: Parameters, returnTo?: ReturnAddress): string | null {
  if (hint === undefined) return null
  const text = single(hint)
  if (text !== undefined && jsonLength(text) <= MAX_LOGIN_HINT_LENGTH_BYTES) return text
  const description = 'Send login_hint as a username or account id of at most 255 bytes.'
  fail('invalid_request', 'login_hint_too_long', description, returnTo)
}

/** Parameters of this broker, which only count if they were pushed: in a URL, anyone could change them. */
function checkOwnParameters(
  app: App,
  { external_id: id, strict_account: strict }: Parameters,
  kind: RequestKind,
): Pick<CheckedParameters, 'externalId' | 'isStrictAccount'> {
  if (kind !== 'pushed') return { externalId: null, isStrictAccount: false }
  if (strict !== undefined && strict !== 'true' && strict !== 'false') {
    const description = 'Send strict_account as true or false.'
    fail('invalid_request', 'strict_account_malformed', description)
  }
  return { externalId: checkExternalId(app, id), isStrictAccount: strict === 'true' }
}

function checkExternalId(app: App, id: Parameters[string]): string | null {
  if (id === undefined) return null
  if (!app.confidential) {
    const description = 'Only an app that authenticates can send an external_id.'
    fail('invalid_request', 'external_id_of_public_app', description)
  }
  const text = single(id) ?? ''
  const isShort = Array.from(text).length <= MAX_EXTERNAL_ID_LENGTH_CHARS
  if (isShort && jsonLength(text) <= MAX_EXTERNAL_ID_LENGTH_BYTES) return text
  const description = 'Send an external_id of at most 255 characters and 512 bytes.'
  fail('invalid_request', 'external_id_too_long', description)
}

function checkState(app: App, state: string | null, returnTo?: ReturnAddress): void {
  if (state === null && app.deliver === 'fragment') {
    const description = 'Send a state: answers in the fragment need one.'
    fail('invalid_request', 'state_missing', description, returnTo)
  }
  if (state !== null && Buffer.byteLength(state) > MAX_STATE_LENGTH_BYTES) {
    const description = 'Send a state of at most 1,024 bytes in UTF-8.'
    fail('invalid_request', 'state_too_long', description, returnTo && { ...returnTo, state: null })
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
  if (type === undefined)
    fail('invalid_request', 'response_type_missing', 'Send response_type=code.', returnTo)
  if (type !== 'code') {
    const reason = 'response_type_unsupported'
    fail('unsupported_response_type', reason, 'Use response_type=code.', returnTo)
  }
  const expected = fragment ? 'fragment' : 'query'
  if (mode !== undefined && mode !== expected) {
    const description = `Omit response_mode, or use ${expected}.`
    fail('invalid_request', 'response_mode_unsupported', description, returnTo)
  }
}

/** An app with sessions gets no code: it sends users to the connect link. */
function checkSessionRequest(
  { session }: App,
  { code_challenge: challenge }: Parameters,
  isConnectLink: boolean,
  returnTo?: ReturnAddress,
): void {
  if (session === 'token' || (isConnectLink && challenge === undefined)) return
  const description =
    'This app uses a session and gets no code: send the user to /connect/{client_id}, without code_challenge.'
  fail('unauthorized_client', 'session_is_cookie', description, returnTo)
}

function checkScope(app: App, { scope }: Parameters, returnTo?: ReturnAddress): string {
  const granted = grantedScope(single(scope))
  // The fragment carries Ellipsis Drive's access token, and nothing else.
  const isEnough = app.deliver === 'code' || granted === PROJECTS
  if (granted !== null && isEnough) return granted
  throw new BrokerError('invalid_scope', {
    reason: granted === null ? 'scope_unknown' : 'scope_of_fragment',
    ...(returnTo && { returnTo }),
  })
}

/** Ways to send the parameters that OpenID Connect Core makes optional (6.1, 6.2, 7.2.1). */
function checkUnsupported(parameters: Parameters, returnTo?: ReturnAddress): void {
  for (const name of ['request', 'request_uri', 'registration'] as const) {
    if (parameters[name] === undefined) continue
    throw new BrokerError(`${name}_not_supported`, {
      reason: `${name}_sent`,
      ...(returnTo && { returnTo }),
    })
  }
}

/** A plain connect link issues no ID token, so its nonce has no meaning. */
function checkNonce(
  { nonce }: Parameters,
  isConnectLink: boolean,
  returnTo?: ReturnAddress,
): string | null {
  if (nonce === undefined || isConnectLink) return null
  const text = single(nonce) ?? ''
  if (text.length <= MAX_NONCE_LENGTH_CHARS && /^[\x20-\x7e]+$/.test(text)) return text
  fail(
    'invalid_request',
    'nonce_malformed',
    'Send a nonce of at most 256 ASCII characters.',
    returnTo,
  )
}

/** A confidential app that checks the nonce of its ID token needs no PKCE (OAuth 2.1 7.6, RFC 9700 2.1.1). */
const isProvedByNonce = (app: App, scope: string, nonce: string | null): boolean =>
  app.confidential && nonce !== null && includesScope(scope, OPENID)

/**
 * `prompt` and `max_age`. Each authorization goes through Ellipsis Drive, so every one is recent, and none works
 * without the user.
 * @returns must the user see the consent page?
 */
function checkPrompt({ prompt, max_age: maxAge }: Parameters, returnTo?: ReturnAddress): boolean {
  if (maxAge !== undefined && !/^[0-9]{1,10}$/.test(single(maxAge) ?? '')) {
    fail('invalid_request', 'max_age_malformed', 'Send max_age as a number of seconds.', returnTo)
  }
  const prompts = single(prompt)?.split(' ') ?? []
  if (!prompts.includes('none')) return prompts.includes('consent') || prompts.includes('login')
  if (prompts.length > 1) {
    fail('invalid_request', 'prompt_none_with_others', 'Send prompt=none alone.', returnTo)
  }
  throw new BrokerError('login_required', {
    reason: 'prompt_none',
    ...(returnTo && { returnTo }),
  })
}

/** The connection id of a reconnect link. */
function checkConnection({ connection }: Parameters, returnTo?: ReturnAddress): string | null {
  if (connection === undefined) return null
  const id = single(connection)
  if (id !== undefined && /^con_[A-Za-z0-9_-]{22}$/.test(id)) return id
  const description = 'Send connection as the id of a connection, or omit it.'
  fail('invalid_request', 'connection_malformed', description, returnTo)
}

function checkThumbprint({ dpop_jkt: jkt }: Parameters, returnTo?: ReturnAddress): Hash | null {
  if (jkt === undefined) return null
  const text = single(jkt)
  if (text !== undefined && /^[A-Za-z0-9_-]{43}$/.test(text)) return text
  const description = 'Send dpop_jkt as a SHA-256 thumbprint: 43 characters of base64url.'
  fail('invalid_request', 'dpop_jkt_malformed', description, returnTo)
}

function checkChallenge(
  { code_challenge: challenge, code_challenge_method: method }: Parameters,
  mayOmit: boolean,
  returnTo?: ReturnAddress,
): string | null {
  if (mayOmit && challenge === undefined && method === undefined) return null
  if (method !== 'S256' || challenge === undefined) {
    const description =
      'Send a code_challenge with code_challenge_method=S256: turn on PKCE in your library. An app with a secret and the scope openid may send a nonce instead.'
    fail('invalid_request', 'code_challenge_missing', description, returnTo)
  }
  const text = single(challenge)
  if (text === undefined || !/^[A-Za-z0-9_-]{43}$/.test(text)) {
    const description = 'Send an S256 code_challenge: 43 characters of base64url.'
    fail('invalid_request', 'code_challenge_malformed', description, returnTo)
  }
  return text
}
