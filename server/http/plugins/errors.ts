import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { FastifySchemaValidationError } from 'fastify'
import { StoreUnavailableError } from '../../../db/errors.ts'
import { DPOP_ALGORITHMS } from '../../oauth/dpop.ts'
import { withResponse } from '../../oauth/redirect-uri.ts'
import { BrokerError, publicError } from '../../errors.ts'
import type { Dialect, OAuthCode, PublicError } from '../../errors.ts'
import type { HttpServices } from '../../services.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Which form of the swap this request speaks; errors are told in it. */
    dialect: Dialect
  }
  interface FastifyContextConfig {
    /** A person reads the answer in a browser: one who connects, or an `admin`. */
    page?: boolean | 'admin'
  }
}

/** The one handler: every error becomes a redirect to the app, a page, or OAuth's JSON. */
export function handleErrors(app: FastifyInstance, services: HttpServices): void {
  app.decorateRequest('dialect', 'exchange')

  app.setErrorHandler(async (thrown, request, reply) => {
    let error = thrown as FastifyError | BrokerError
    let answer = toPublic(error, request)
    if (isFailure(error, answer)) {
      error = (await app.failures.count(request)) ?? error
      answer = toPublic(error, request)
    }
    logError(error, answer, request)
    if (error instanceof BrokerError && error.details.returnTo) {
      const { redirectUri, state, fragment } = error.details.returnTo
      const { error: code, error_description } = answer.body
      const parameters = { error: code, error_description, state, iss: services.config.publicUrl }
      return reply.redirect(withResponse(redirectUri, parameters, fragment), 303)
    }
    return request.routeOptions.config.page
      ? sendPage(answer, request, reply, services)
      : send(answer, request, reply)
  })
}

/** What no route is found for, as its path can't be read: nothing of it is repeated. */
export function refuseUnreadable(_error: unknown, _request: FastifyRequest, reply: FastifyReply) {
  const description = 'This address can’t be read.'
  const { status, body } = publicError(new BrokerError('invalid_request', { description }))
  void reply.code(status).header('cache-control', 'no-store').send(body)
}

/** What has no route in any way: methods that nothing here takes. */
export function refuseUnknown(request: FastifyRequest, reply: FastifyReply) {
  const description = 'There is nothing at this address.'
  const answer = publicError(new BrokerError('invalid_request', { description }))
  return send({ ...answer, status: 404 }, request, reply)
}

/** OAuth's JSON, with the headers that belong to it (RFC 6749 5.2, 6750 3). */
export function send(answer: PublicError, request: FastifyRequest, reply: FastifyReply) {
  const { body } = answer
  const status = isSwap(request) && isProofError(body.error) ? 401 : answer.status
  if (status === 401) {
    void reply.header('www-authenticate', challenge(body.error, request))
  }
  if (body.retry_after !== undefined) void reply.header('retry-after', body.retry_after)
  // The log names the request by it.
  void reply.headers({ 'cache-control': 'no-store', 'x-request-id': request.id })
  return reply.code(status).send(body)
}

const isSwap = ({ routeOptions }: FastifyRequest): boolean =>
  routeOptions.url?.endsWith('/exchange') === true

const isProofError = (code: OAuthCode): boolean =>
  code === 'invalid_dpop_proof' || code === 'use_dpop_nonce'

/** How to do better: as a resource is asked (RFC 6750 3, RFC 9449 7.1), or as a client (RFC 6749 5.2). */
function challenge(code: OAuthCode, request: FastifyRequest): string {
  if (!isSwap(request)) return 'Basic realm="ellipsis-broker"'
  const { authorization = '', dpop } = request.headers
  return dpop !== undefined || /^DPoP /i.test(authorization)
    ? `DPoP error="${code}", algs="${DPOP_ALGORITHMS.join(' ')}"`
    : `Bearer error="${code}"`
}

function sendPage(
  { status, body }: PublicError,
  request: FastifyRequest,
  reply: FastifyReply,
  { config }: HttpServices,
) {
  const { error: code, error_description: message } = body
  const isAdmin = request.routeOptions.config.page === 'admin'
  if (body.retry_after !== undefined) void reply.header('retry-after', body.retry_after)
  void reply.code(status)
  if (isAdmin) return reply.problem(message)
  return reply.page('error', { message, code, requestId: request.id, operator: config.operator })
}

/** What only those are told who hold something of the broker's: no guess. */
const KNOWING: string[] = [
  'needs_reconnect',
  'connection_revoked',
  'authorization_pending',
  'polled_too_often',
  'device_refused',
  'expired_token',
  'use_dpop_nonce',
]

/** May it have been a guess? */
const isFailure = ({ code }: FastifyError | BrokerError, { status }: PublicError): boolean =>
  (status === 400 || status === 401) && !KNOWING.includes(code)

const ENDED = 'This form has ended. Go back to the app or page that you came from, and try again.'

/** Fastify's own errors, in OAuth's words: what was sent is never repeated. */
const FRAMEWORK: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'Send the content type that this endpoint takes.',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is too large.',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'The body is empty.',
  FST_CSRF_MISSING_SECRET: ENDED,
  FST_CSRF_INVALID_TOKEN: ENDED,
}

function toPublic(error: FastifyError | BrokerError, request: FastifyRequest): PublicError {
  if (error instanceof BrokerError) return publicError(error, request.dialect)
  if (error instanceof StoreUnavailableError) {
    return publicError(new BrokerError('temporarily_unavailable', { retryAfter: 5 }))
  }
  const status = error.statusCode ?? 500
  if (status >= 500) return publicError(new BrokerError('server_error'))
  const [invalid] = error.validation ?? []
  const description = invalid ? wordsOf(invalid) : FRAMEWORK[error.code]
  const broken = new BrokerError(
    'invalid_request',
    description === undefined ? {} : { description },
  )
  return { ...publicError(broken), status }
}

function wordsOf({ instancePath, message = 'is not valid' }: FastifySchemaValidationError): string {
  const field = instancePath.slice(1).replaceAll('/', '.')
  return `${field || 'The request'} ${message}.`
}

/** The broker's own troubles are logged with their cause; what others do wrong, by its code alone. */
function logError(error: Error, { status, body }: PublicError, { id, log }: FastifyRequest): void {
  const request = id
  if (status >= 500 && status !== 503) log.error({ request, err: error }, 'a request failed')
  else if (status === 503) log.warn({ request, err: error }, 'a request could not be served now')
  else log.debug({ request, status, code: body.error }, 'a request was refused')
}
