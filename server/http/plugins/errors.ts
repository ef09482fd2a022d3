import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { StoreUnavailableError } from '../../../db/errors.ts'
import { DPOP_ALGORITHMS } from '../../oauth/dpop.ts'
import { withResponse } from '../../oauth/redirect-uri.ts'
import { BrokerError, publicError } from '../../errors.ts'
import type { Dialect, OAuthCode, PublicError, ReturnAddress } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'
import { REDIRECT_STATUS, logError } from './error-log.ts'
import { describeWithoutHeaders, sendErrorPage } from './error-page.ts'
import { describeInvalid } from './invalid-parameters.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Which form of the swap this request uses; it decides the error codes. */
    dialect: Dialect
  }
  interface FastifyContextConfig {
    /** The response is a page for a person in a browser: a user, or an `admin`. */
    page?: boolean | 'admin'
    /** The endpoint takes a token in the Authorization header (RFC 6750), and no client authentication. */
    isProtectedResource?: boolean
    /** Answers of Ellipsis Drive pass here; a header tells the broker's own errors apart. */
    isProxy?: boolean
  }
}

export const NOT_FOUND = 'There is no page or endpoint at this URL. Check the path.'

/** Adds the one error handler: each error becomes a redirect to the app, a page, or OAuth's JSON. */
export function handleErrors(app: FastifyInstance, services: HttpServices): void {
  app.decorateRequest('dialect', 'exchange')

  app.setErrorHandler(async (thrown, request, reply) => {
    let error = thrown as FastifyError | BrokerError
    let answer = toPublicError(error, request)
    if (mayBeGuess(error, answer)) {
      error = (await app.failureLimits.count(request)) ?? error
      answer = toPublicError(error, request)
    }
    // If a limit is exceeded, the first error says why.
    await logError(thrown as Error, answer, request, services)
    if (error instanceof BrokerError && error.details.returnTo) {
      const location = errorRedirect(answer, error.details.returnTo, request, services)
      return reply.redirect(location, REDIRECT_STATUS)
    }
    return request.routeOptions.config.page
      ? sendErrorPage(error, answer, request, reply, services)
      : sendError(answer, request, reply)
  })
}

/** The URL that takes an error to the app (RFC 6749 4.1.2.1), with the request id for the log. */
function errorRedirect(
  answer: PublicError,
  { redirectUri, state, fragment }: ReturnAddress,
  { id }: FastifyRequest,
  { config }: HttpServices,
): string {
  const description = `${describeWithoutHeaders(answer)} Request id: ${id}`
  const { error } = answer.body
  const parameters = { error, error_description: description, state, iss: config.publicUrl }
  return withResponse(redirectUri, parameters, fragment)
}

/**
 * Answers a request whose URL cannot be decoded, for Fastify's `frameworkErrors`, which runs no hooks. Repeats
 * nothing of the URL.
 */
export function sendMalformedUrl(request: FastifyRequest, reply: FastifyReply) {
  const description = 'The URL is malformed. Check its percent-encoding.'
  const { status, body } = publicError(new BrokerError('invalid_request', { description }))
  void request.server.refusals.log(request, { reason: 'url_malformed', status })
  void reply.code(status).header('cache-control', 'no-store').send(body)
}

/** Sends 404 as JSON. */
export async function sendNotFound(request: FastifyRequest, reply: FastifyReply) {
  await request.server.refusals.log(request, { reason: 'not_found', status: 404 })
  const answer = publicError(new BrokerError('invalid_request', { description: NOT_FOUND }))
  return sendError({ ...answer, status: 404 }, request, reply)
}

/** Sends OAuth's JSON, with its headers (RFC 6749 5.2, RFC 6750 3). */
export function sendError(answer: PublicError, request: FastifyRequest, reply: FastifyReply) {
  const { body } = answer
  const status = isProtectedResource(request) && isProofError(body.error) ? 401 : answer.status
  if (status === 401 || body.error === 'insufficient_scope') {
    void reply.header('www-authenticate', challengeOf(body.error, request))
  }
  if (body.retry_after !== undefined) void reply.header('retry-after', body.retry_after)
  if (request.routeOptions.config.isProxy) void reply.header('ellipsis-broker-error', body.error)
  // The log has the same id.
  void reply.headers({ 'cache-control': 'no-store', 'x-request-id': request.id })
  return reply.code(status).send(body)
}

const isProtectedResource = ({ routeOptions }: FastifyRequest): boolean =>
  routeOptions.config.isProtectedResource === true

const isProofError = (code: OAuthCode): boolean =>
  code === 'invalid_dpop_proof' || code === 'use_dpop_nonce'

/** The challenge of a resource (RFC 6750 3, RFC 9449 7.1), or that of client authentication (RFC 6749 5.2). */
function challengeOf(code: OAuthCode, request: FastifyRequest): string {
  if (request.routeOptions.url?.endsWith('/metrics')) return 'Bearer'
  if (!isProtectedResource(request)) return 'Basic realm="ellipsis-broker"'
  const { authorization = '', dpop } = request.headers
  return dpop !== undefined || /^DPoP /i.test(authorization)
    ? `DPoP error="${code}", algs="${DPOP_ALGORITHMS.join(' ')}"`
    : `Bearer error="${code}"`
}

/** Errors that only a client with a valid token, code or nonce gets: never the result of a guess. */
const NEVER_GUESSES: string[] = [
  'needs_reconnect',
  'connection_revoked',
  'authorization_pending',
  'polled_too_often',
  'device_refused',
  'expired_token',
  'use_dpop_nonce',
  'insufficient_scope',
  'scope_not_granted',
  'login_required',
]

const mayBeGuess = (error: FastifyError | BrokerError, { status }: PublicError): boolean =>
  (status === 400 || status === 401) &&
  !NEVER_GUESSES.includes(error.code) &&
  !(error instanceof BrokerError && error.details.isGuess === false)

/** Descriptions of Fastify's own errors, by its code. None repeats what was sent. */
const FRAMEWORK_ERRORS: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE:
    'Unsupported Content-Type. Send application/json to /exchange, and application/x-www-form-urlencoded to other endpoints.',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The request body is too large. Send 32 KiB at most.',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON. Send a JSON object, or no body.',
}

function toPublicError(error: FastifyError | BrokerError, request: FastifyRequest): PublicError {
  if (error instanceof BrokerError) return publicError(error, request.dialect)
  if (error instanceof StoreUnavailableError) {
    return publicError(new BrokerError('temporarily_unavailable', { retryAfter: 5 }))
  }
  const status = error.statusCode ?? 500
  if (status >= 500) return publicError(new BrokerError('server_error'))
  const [invalid] = error.validation ?? []
  const description = invalid ? describeInvalid(invalid) : FRAMEWORK_ERRORS[error.code]
  const brokerError = new BrokerError(
    'invalid_request',
    description === undefined ? {} : { description },
  )
  return { ...publicError(brokerError), status }
}
