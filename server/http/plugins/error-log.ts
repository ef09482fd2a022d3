import type { FastifyError, FastifyRequest } from 'fastify'
import { StoreUnavailableError } from '../../../db/errors.ts'
import { BrokerError } from '../../errors.ts'
import type { OAuthCode, PublicError } from '../../errors.ts'
import { redact } from '../../log.ts'
import type { HttpServices } from '../../services.ts'
import { ORIGIN_NOT_REGISTERED } from './refusals.ts'

/** The status of an error that goes to the app by redirect. */
export const REDIRECT_STATUS = 303

/** Answers that are part of a protocol, and no refusals. */
const EXPECTED_CODES: OAuthCode[] = ['authorization_pending', 'use_dpop_nonce']

/** Reasons of the framework's errors, by its code. */
const FRAMEWORK_REASONS: Record<string, string> = {
  FST_ERR_VALIDATION: 'parameter_invalid',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content_type_unsupported',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_JSON_BODY: 'body_not_json',
}

/**
 * Logs why a request got an error: a refusal at info, a failure of Ellipsis Drive or the store at warn, one of
 * the broker at error with its cause.
 * @param error as it was thrown
 * @param answer what is sent; `slow_down` if the error exceeded a limit
 */
export async function logError(
  error: Error,
  answer: PublicError,
  request: FastifyRequest,
  services: HttpServices,
): Promise<void> {
  const reason = reasonOf(error)
  if (answer.status >= 500) return logFailure(error, reason, answer.status, request, services)
  await logRefusal(error, reason, answer, request)
}

async function logRefusal(
  error: Error,
  reason: string | null,
  { status, body }: PublicError,
  request: FastifyRequest,
): Promise<void> {
  const { refusals } = request.server
  if (EXPECTED_CODES.includes(body.error)) {
    request.isRefusalLogged = true
    return request.log.debug({ request: request.id, error: body.error }, 'request refused')
  }
  if (reason === ORIGIN_NOT_REGISTERED) {
    if (!request.isRefusalLogged) refusals.logOrigin(request, request.headers.origin ?? 'null')
    return
  }
  const { appId, returnTo, refusedRedirect } = detailsOf(error)
  await refusals.log(request, {
    ...{ reason: reason ?? body.error, error: body.error },
    status: returnTo ? REDIRECT_STATUS : status,
    ...{ appId, returnTo, refusedRedirect },
  })
}

/** What may fail for every request at once is summarised. */
async function logFailure(
  error: Error,
  reason: string | null,
  status: number,
  request: FastifyRequest,
  { log, summarizingLog }: HttpServices,
): Promise<void> {
  const { id } = request
  if (reason === null) return log.error({ request: id, err: error }, 'request failed')
  const { appId, returnTo } = detailsOf(error)
  const facts = await request.server.refusals.describe(request, { appId, returnTo })
  const line = {
    level: status === 503 ? 'warn' : 'error',
    message: `request failed: ${describeCause(error)}`,
    kind: `${reason} ${facts.app_name === undefined ? '' : facts.app}`,
    source: '',
    request: id,
    summary: { reason, status, ...facts },
    detail: { err: error },
  } as const
  const isFirst = summarizingLog.write(line)
  if (!isFirst) log.debug({ request: id, reason, err: error }, 'request failed again')
}

/** Why a request failed, as a word; `null`: for no reason that the program knows. */
function reasonOf(error: Error): string | null {
  if (error instanceof BrokerError) {
    return error.details.reason ?? (error.code === 'server_error' ? null : error.code)
  }
  if (error instanceof StoreUnavailableError) return 'store_unavailable'
  const { code, statusCode = 500 } = error as FastifyError
  return statusCode < 500 ? (FRAMEWORK_REASONS[code] ?? 'request_malformed') : null
}

const detailsOf = (error: Error): BrokerError['details'] =>
  error instanceof BrokerError ? error.details : {}

/** The cause is for the operator; the error itself may be for the app. */
const describeCause = (error: Error): string =>
  redact(error.cause instanceof Error ? error.cause.message : error.message)
