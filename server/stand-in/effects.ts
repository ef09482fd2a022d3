import { STATUS_CODES } from 'node:http'
import type { Fault } from './faults.ts'
import type { Answer } from './oauth/errors.ts'
import { OAuthError, oauthErrorAnswer } from './oauth/errors.ts'
import type { Switches } from './switches.ts'

/** What a fault comes down to, whether it strikes before the work or after. */
export type Effect =
  | { does: 'wait'; milliseconds: number }
  | { does: 'hang' }
  | { does: 'cut' }
  | { does: 'answer'; answer: Answer }

const JSON_TYPE = 'application/json; charset=utf-8'
/** JSON as it arrives when the sender dies in the middle of it. */
const GARBAGE = '{"access_token":"half of i'
const PAGE = '<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>'

export function effectOf(fault: Fault, switches: Switches): Effect {
  switch (fault.kind) {
    case 'delay':
    case 'late':
      return { does: 'wait', milliseconds: fault.milliseconds }
    case 'hang':
      return { does: 'hang' }
    case 'cut-before':
    case 'cut-after':
      return { does: 'cut' }
    case 'status':
      return answering(statusAnswer(fault.status, fault.retryAfter))
    case 'garbage':
      return answering({ status: 200, type: JSON_TYPE, headers: {}, body: GARBAGE })
    case 'html':
      return answering({ status: 200, type: 'text/html; charset=utf-8', headers: {}, body: PAGE })
    case 'invalid_client':
    case 'invalid_grant':
      return answering(oauthErrorAnswer(new OAuthError(fault.kind, 'Not valid.'), switches))
  }
}

const answering = (answer: Answer): Effect => ({ does: 'answer', answer })

function statusAnswer(status: number, retryAfter: string | number | undefined): Answer {
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }
  const message = status === 429 ? 'You made too many calls.' : STATUS_CODES[status]
  return { status, type: JSON_TYPE, headers, body: JSON.stringify({ message }) }
}
