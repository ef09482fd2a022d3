import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import { upstreamError } from '../refresh/failure-policy.ts'

/** The errors that end a connect flow, and what they tell the user. */

/**
 * The browser has no such flow.
 * @param isGuess it sent a cookie for the flow that is not ours
 */
export const unknownFlow = (isGuess: boolean): BrokerError =>
  new BrokerError('invalid_request', {
    reason: isGuess ? 'flow_cookie_foreign' : 'flow_unknown',
    description:
      'This attempt to connect has expired, is already complete, or was started in another browser. Go back to the app and connect again.',
    ...(!isGuess && { isGuess }),
  })

export const withoutState = (): BrokerError =>
  new BrokerError('invalid_request', {
    reason: 'state_missing',
    description:
      'The redirect from Ellipsis Drive has no state. Go back to the app and connect again.',
    isGuess: false,
  })

export const appRemoved = (): BrokerError =>
  new BrokerError('invalid_request', {
    reason: 'app_removed',
    description:
      'This app was removed from this broker. Ask the developer of the app what to use instead.',
    isGuess: false,
  })

export const redirectUriRemoved = (appId: string): BrokerError =>
  new BrokerError('invalid_request', {
    ...{ reason: 'redirect_uri_removed', appId },
    description:
      'This app has removed the address that you would return to. Go back to the app and connect again.',
    isGuess: false,
  })

export const policyChanged = (appId: string): BrokerError =>
  new BrokerError('invalid_request', {
    ...{ reason: 'access_policy_changed', appId },
    description:
      'What this app may do has changed since you were asked. Go back to the app and connect again.',
    isGuess: false,
  })

export const deviceCodeExpired = (): BrokerError =>
  new BrokerError('invalid_request', {
    reason: 'device_code_expired',
    description:
      'The code of your device has expired. Start again on the device, and enter the new code.',
    isGuess: false,
  })

export const pushedRequestUsed = (): BrokerError =>
  new BrokerError('invalid_request', {
    reason: 'pushed_request_used',
    description: 'This pushed request led to a code before. Push a new one.',
    isGuess: false,
  })

/** For apps that accept only the account that they asked for. */
export const otherAccount = (): BrokerError =>
  new BrokerError('access_denied', {
    reason: 'other_account',
    description:
      'The user came back from Ellipsis Drive with another account than the one that the app asked for.',
  })

export const noAnswer = (): BrokerError =>
  new BrokerError('server_error', {
    reason: 'upstream_sent_no_code',
    description: `Ellipsis Drive sent neither a code nor an error. ${TRY_AGAIN}`,
  })

const TRY_AGAIN =
  'Go back to the app and connect again later; if it happens again, tell the host of this broker.'

/** The error for the app when Ellipsis Drive denied the authorization (RFC 6749 4.1.2.1). */
export function upstreamDenial(error: string): BrokerError {
  if (error === 'access_denied')
    return new BrokerError('access_denied', { reason: 'user_denied_upstream' })
  const cause = new Error(`Ellipsis Drive answered its authorization with ${error.slice(0, 60)}`)
  if (error === 'temporarily_unavailable') {
    const description =
      'Ellipsis Drive is busy or down. Go back to the app and connect again in a few minutes.'
    const details = { cause, description, reason: 'upstream_unavailable' }
    return new BrokerError('temporarily_unavailable', details)
  }
  const description = REFUSED_REQUEST_ERRORS.includes(error)
    ? `Ellipsis Drive does not accept the requests of this broker (${error}). Tell the host of this broker.`
    : `Ellipsis Drive could not complete the authorization${error === 'server_error' ? ' (server_error)' : ''}. ${TRY_AGAIN}`
  return new BrokerError('server_error', { cause, description, reason: 'upstream_error' })
}

/** Errors of RFC 6749 4.1.2.1 that say that the broker's request or registration is wrong. */
const REFUSED_REQUEST_ERRORS = [
  'invalid_request',
  'invalid_scope',
  'unauthorized_client',
  'unsupported_response_type',
]

/** Did Ellipsis Drive reject the code? It answers with a 4xx status; its error codes are not documented. */
export const isRejection = (error: unknown): error is EllipsisError =>
  error instanceof EllipsisError &&
  (error.kind === 'refused' || (error.kind === 'transient' && isClientError(error.status ?? 0)))

/** 408 and 429 say nothing about the code. */
const isClientError = (status: number): boolean =>
  status >= 400 && status < 500 && status !== 408 && status !== 429

/** Ellipsis Drive rejected the code. It may be a guess. */
export const codeRejected = ({ code, status }: EllipsisError): BrokerError =>
  new BrokerError('invalid_request', {
    reason: 'upstream_refused_code',
    description: `Ellipsis Drive did not accept the code that it sent (${code ?? `status ${status}`}). Go back to the app and connect again; if it happens again, tell the host of this broker.`,
  })

/** The error as a `BrokerError`, with what only the flow knows. */
export function withDetails(flow: BrokerError['details'], error: unknown): BrokerError {
  const { code, details } = error instanceof BrokerError ? error : upstreamError(error)
  return new BrokerError(code, { ...details, cause: details.cause ?? error, ...flow })
}

/** The flow began with another kind of session than the app has now. */
export const sessionOptionChanged = (): BrokerError =>
  new BrokerError('unauthorized_client', {
    description: 'The host changed this app while you connected. Connect again.',
    reason: 'session_option_changed',
  })
