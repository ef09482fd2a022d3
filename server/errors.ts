/** All errors that a request can end with: code, status and public message. Causes are logged, never sent. */

/**
 * OAuth error codes (RFC 6749 4.1.2.1 and 5.2, 6750 3.1, 8628 3.5, 8693 2.2.2, 9449 5 and 8; OpenID Connect Core
 * 3.1.2.6), and the broker's own `reconnect_required`.
 */
export type OAuthCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'
  | 'invalid_scope'
  | 'access_denied'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'login_required'
  | 'request_not_supported'
  | 'request_uri_not_supported'
  | 'registration_not_supported'
  | 'reconnect_required'
  | 'slow_down'
  | 'authorization_pending'
  | 'expired_token'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'server_error'
  | 'temporarily_unavailable'

/** Reasons to refuse a swap; the public code depends on the dialect. */
type SwapRefusal = 'token_refused' | 'connection_revoked' | 'needs_reconnect' | 'scope_not_granted'

/** A link that is unknown, expired, revoked or another app's: the same answer for all. */
type LinkRefusal = 'link_not_found'

/** Answers to a polling device. Their public codes have another status elsewhere; here it is 400 (RFC 8628 3.5). */
type DeviceRefusal = 'polled_too_often' | 'device_refused'

/** Answers of the app API. Another app's grant is like one that does not exist. */
type ApiRefusal = 'grant_not_found'

export type ErrorCode = OAuthCode | SwapRefusal | DeviceRefusal | LinkRefusal | ApiRefusal

/** The three forms of a swap request. */
export type Dialect = 'exchange' | 'token_exchange' | 'refresh_token'

interface PublicAnswer {
  status: number
  /** What the developer or user can do. */
  description: string
}

/** Status and public message of each code. */
export const answers: Record<OAuthCode, PublicAnswer> = {
  invalid_request: {
    status: 400,
    description: 'The request is malformed; compare it with the documentation.',
  },
  invalid_client: {
    status: 401,
    description: 'Authenticate as the registered app: client_id, and client_secret if it has one.',
  },
  invalid_grant: {
    status: 400,
    description: 'This grant is not valid any more; let the user connect again.',
  },
  unauthorized_client: {
    status: 400,
    description: 'This app is not registered for this way of asking; ask the host of this broker.',
  },
  unsupported_grant_type: {
    status: 400,
    description: 'Use a grant_type listed at /.well-known/oauth-authorization-server.',
  },
  unsupported_response_type: { status: 400, description: 'Use response_type=code.' },
  invalid_scope: {
    status: 400,
    description: 'Use one or more of the scopes openid, profile and projects.',
  },
  access_denied: { status: 403, description: 'The user refused access.' },
  invalid_token: {
    status: 401,
    description: 'The broker token is not valid (any more); let the user connect again.',
  },
  insufficient_scope: {
    status: 403,
    description:
      'This token lacks the scope: openid to read who the user is, projects to get an access token. Let the user connect again with that scope.',
  },
  login_required: {
    status: 400,
    description:
      'This broker keeps no session of users. Send the user here without prompt=none, and not in a hidden frame.',
  },
  request_not_supported: {
    status: 400,
    description: 'Send the parameters in the query: request objects are not supported.',
  },
  request_uri_not_supported: {
    status: 400,
    description: 'Send the parameters in the query: request_uri is not supported.',
  },
  registration_not_supported: {
    status: 400,
    description: 'Omit registration: the host of this broker registers apps.',
  },
  reconnect_required: {
    status: 403,
    description: 'Ellipsis Drive ended this connection; send the user to reconnect_url.',
  },
  slow_down: { status: 429, description: 'Too many attempts; wait as long as Retry-After says.' },
  authorization_pending: {
    status: 400,
    description: 'The user has not answered yet; ask again after the interval.',
  },
  expired_token: {
    status: 400,
    description: 'This device_code has ended; begin anew and show the user the new code.',
  },
  invalid_dpop_proof: {
    status: 400,
    description: 'The DPoP proof is not good; make a new one for each request.',
  },
  use_dpop_nonce: {
    status: 400,
    description: 'Put the nonce of the DPoP-Nonce header into the DPoP proof, and send it again.',
  },
  server_error: {
    status: 500,
    description:
      'The broker has a problem of its own; tell its host the X-Request-Id of this answer.',
  },
  temporarily_unavailable: {
    status: 503,
    description: 'Ellipsis Drive or the broker is busy; try again after Retry-After.',
  },
}

const swapRefusalCodes: Record<SwapRefusal, Record<Dialect, OAuthCode>> = {
  token_refused: {
    exchange: 'invalid_token',
    token_exchange: 'invalid_request',
    refresh_token: 'invalid_grant',
  },
  connection_revoked: {
    exchange: 'invalid_token',
    token_exchange: 'invalid_request',
    refresh_token: 'invalid_grant',
  },
  needs_reconnect: {
    exchange: 'reconnect_required',
    token_exchange: 'reconnect_required',
    refresh_token: 'invalid_grant',
  },
  scope_not_granted: {
    exchange: 'insufficient_scope',
    token_exchange: 'invalid_scope',
    refresh_token: 'invalid_scope',
  },
}

const swapRefusalDescriptions: Record<SwapRefusal, string> = {
  token_refused: answers.invalid_token.description,
  connection_revoked: 'This connection was revoked; send the user to reconnect_url.',
  needs_reconnect: answers.reconnect_required.description,
  scope_not_granted:
    'This authorization says who the user is, and gives no access to Ellipsis Drive. Let the user connect again with the scope projects.',
}

/** Errors whose public code has another status elsewhere. */
const specialAnswers: Record<
  DeviceRefusal | LinkRefusal | ApiRefusal,
  PublicAnswer & { code: OAuthCode }
> = {
  polled_too_often: {
    code: 'slow_down',
    status: 400,
    description: 'Polled too soon; wait five seconds longer before each further poll.',
  },
  device_refused: {
    code: 'access_denied',
    status: 400,
    description: answers.access_denied.description,
  },
  grant_not_found: {
    code: 'invalid_request',
    status: 404,
    description: 'This app has no such grant.',
  },
  link_not_found: {
    code: 'invalid_request',
    status: 404,
    description:
      'There is no such link: it may have expired, been revoked, or not include this path.',
  },
}

/** Where an authorization error is sent (RFC 6749 4.1.2.1). */
export interface ReturnAddress {
  redirectUri: string
  /** The app's `state`, returned unchanged. */
  state: string | null
  /** Send the error in the fragment, as the app expects. */
  fragment: boolean
}

interface ErrorDetails {
  /** Public message that is more specific than the code's own. Never a secret, never a cause. */
  description?: string
  /** Instead of the code's own HTTP status. */
  status?: 405 | 413 | 502
  /** The URL where the user can connect again. */
  reconnectUrl?: string
  /** Seconds. */
  retryAfter?: number
  /** Redirect the error to the app. Otherwise a browser gets a page, and an app gets JSON. */
  returnTo?: ReturnAddress
  /** `false`: nothing was guessed, so it does not count as a failure of the address. */
  isGuess?: false
  /** For the log. */
  cause?: unknown
  /** For the log: one word that is more specific than the code, such as `client_secret_mismatch`. */
  reason?: string
  /** For the log: the app, if the request proves it without naming it. */
  appId?: string
  /** The description helps the app's developer; a page has a message for its visitor first. */
  forDeveloper?: boolean
  /** For the log and the error page: the redirect URI that the request asked for. */
  refusedRedirect?: RefusedRedirect
}

/** A redirect URI that is not registered for the app. */
export interface RefusedRedirect {
  appId: string
  appName: string
  /** As sent: untrusted text. */
  sent: string
  /** Why it can't be registered, as text; `null`: it can. */
  problem: string | null
  /** Registered URIs that differ in one or two parts, such as `host`, `port`, `slash` and `scheme`. */
  similar: { uri: string; differs: string[] }[]
}

/** The error that the domain and the routes throw on purpose. */
export class BrokerError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(details.description ?? code, { cause: details.cause })
    this.name = 'BrokerError'
    this.code = code
    this.details = details
  }
}

/** The response of an error: status and JSON body (RFC 6749 5.2). */
export interface PublicError {
  status: number
  body: {
    error: OAuthCode
    error_description: string
    reconnect_url?: string
    retry_after?: number
  }
}

const isSpecial = (code: ErrorCode): code is DeviceRefusal | LinkRefusal | ApiRefusal =>
  code in specialAnswers
const isSwapRefusal = (code: ErrorCode): code is SwapRefusal => code in swapRefusalCodes

/** The public form of an error, in the codes of the dialect. */
export function publicError(error: BrokerError, dialect: Dialect = 'exchange'): PublicError {
  if (isSpecial(error.code)) {
    const { code, status, description } = specialAnswers[error.code]
    return { status, body: { error: code, error_description: description } }
  }
  const code = isSwapRefusal(error.code) ? swapRefusalCodes[error.code][dialect] : error.code
  const defaultDescription = isSwapRefusal(error.code)
    ? swapRefusalDescriptions[error.code]
    : answers[code].description
  const { description = defaultDescription, reconnectUrl, retryAfter, status } = error.details
  return {
    status: status ?? answers[code].status,
    body: {
      error: code,
      error_description: description,
      ...(reconnectUrl !== undefined && { reconnect_url: reconnectUrl }),
      ...(retryAfter !== undefined && { retry_after: retryAfter }),
    },
  }
}
