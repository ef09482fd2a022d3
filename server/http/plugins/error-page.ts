import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Models } from '../../../views/models.ts'
import { BrokerError, answers } from '../../errors.ts'
import type { OAuthCode, PublicError } from '../../errors.ts'
import { addRedirectUriCommand } from '../../oauth/app-commands.ts'
import type { HttpServices } from '../../services.ts'
import { visibleStart } from '../../visible-text.ts'

const MAX_URI_LENGTH_CHARS = 500
const INCOMPLETE_LINK =
  'The link that brought you here does not work. Go back to the app and try again. If it happens again, tell the developer of the app.'

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
  // What the framework says is about the request, which a person did not write.
  const message = isBrokerError ? describeWithoutHeaders(answer) : forPeople(answer)
  if (request.routeOptions.config.page === 'admin') {
    const id = status >= 500 ? ` The log has more about the request ${request.id}.` : ''
    return reply.problem(message + id)
  }
  const isForDeveloper = isBrokerError && error.details.forDeveloper === true
  return reply.page('error', {
    message: isForDeveloper ? INCOMPLETE_LINK : message,
    forDeveloper: isForDeveloper ? message : null,
    redirect: isBrokerError ? describeRedirect(error) : null,
    code: body.error,
    requestId: request.id,
    operator,
  })
}

/** The description of an error for a page or redirect, which have no `Retry-After` to read. */
export function describeWithoutHeaders(answer: PublicError): string {
  const { error, error_description: description } = answer.body
  return description === answers[error].description ? forPeople(answer) : description
}

/** The message of an error for people, by its code. */
function forPeople({ body: { error, retry_after: seconds } }: PublicError): string {
  const wait = seconds === undefined ? 'Wait a minute' : `Wait ${formatSeconds(seconds)}`
  const messages: Partial<Record<OAuthCode, string>> = {
    invalid_request:
      'The broker could not read this request. Go back, reload the page and try again.',
    slow_down: `There were too many failed attempts. ${wait}, then try again.`,
    temporarily_unavailable: `Ellipsis Drive or this broker is busy. ${wait}, then try again.`,
    server_error: 'This broker has a problem of its own. Go back and try again later.',
  }
  return messages[error] ?? answers[error].description
}

const formatSeconds = (seconds: number): string =>
  seconds === 1 ? '1 second' : `${seconds} seconds`

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
