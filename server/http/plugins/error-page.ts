import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Models } from '../../../views/models.ts'
import { translators } from '../../../views/translate.ts'
import type { Translator } from '../../../views/translate.ts'
import { BrokerError, answers } from '../../errors.ts'
import type { OAuthCode, PublicError } from '../../errors.ts'
import { addRedirectUriCommand } from '../../oauth/app-commands.ts'
import type { HttpServices } from '../../services.ts'
import { visibleStart } from '../../visible-text.ts'

const MAX_URI_LENGTH_CHARS = 500

/** Sends an error to a person: what they can do, and what helps the developer or operator whom they tell. */
export function sendErrorPage(
  error: Error,
  answer: PublicError,
  request: FastifyRequest,
  reply: FastifyReply,
  { config: { operator } }: HttpServices,
) {
  const { status, body } = answer
  if (body.retry_after !== undefined) void reply.header('retry-after', body.retry_after)
  void reply.code(status)
  const isBrokerError = error instanceof BrokerError
  const translator = reply.translator()
  // What the framework says is about the request, which a person did not write.
  const message = isBrokerError
    ? (translator.errorText(error.details.reason) ?? describeWithoutHeaders(answer, translator))
    : forPeople(answer, translator)
  if (request.routeOptions.config.page === 'admin') {
    const id = status >= 500 ? ` The log has more about the request ${request.id}.` : ''
    return reply.problem(message + id)
  }
  const isForDeveloper = isBrokerError && error.details.forDeveloper === true
  return reply.page('error', {
    message: isForDeveloper ? translator.text('error.incompleteLink') : message,
    forDeveloper: isForDeveloper ? describeWithoutHeaders(answer) : null,
    redirect: isBrokerError ? describeRedirect(error) : null,
    code: body.error,
    requestId: request.id,
    operator,
  })
}

/**
 * The description of an error for a page or redirect, which have no `Retry-After` to read. In another language than
 * English, it is less specific where the wait is all that matters.
 */
export function describeWithoutHeaders(
  answer: PublicError,
  translator: Translator = translators.en,
): string {
  const { error, error_description: description } = answer.body
  const isTranslated = translator.language() !== 'en' && GENERAL_CODES.includes(error)
  return description === answers[error].description || isTranslated
    ? forPeople(answer, translator)
    : description
}

const GENERAL_CODES: OAuthCode[] = ['slow_down', 'temporarily_unavailable', 'server_error']

/** The message of an error for people, by its code. */
function forPeople(
  { body: { error, retry_after: seconds } }: PublicError,
  { text, amount }: Translator,
): string {
  const duration = seconds === undefined ? amount(1, 'minute') : amount(seconds, 'second')
  const messages: Partial<Record<OAuthCode, string>> = {
    invalid_request: text('error.unreadable'),
    slow_down: text('error.tooMany', { duration }),
    temporarily_unavailable: text('error.busy', { duration }),
    server_error: text('error.broken'),
  }
  return messages[error] ?? answers[error].description
}

function describeRedirect({ details }: BrokerError): Models['error']['redirect'] {
  if (!details.refusedRedirect) return null
  const { appId, appName, sent, problem } = details.refusedRedirect
  const shown = visibleStart(sent, MAX_URI_LENGTH_CHARS)
  const canRegister = problem === null && shown === sent
  return {
    appName,
    sent: shown,
    problem,
    command: canRegister ? addRedirectUriCommand(appId, sent) : null,
  }
}
