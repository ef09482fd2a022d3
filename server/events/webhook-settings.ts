import type { EventType, Webhook } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { EVENT_TYPE_NAMES } from './event-texts.ts'

export interface NewWebhook {
  url: string
  /** `client_id`; `null`: all events. */
  appId: string | null
  /** Empty: all. */
  types: EventType[]
  signing: Webhook['signing']
}

/** Types that an app gets: those about its users. */
const APP_EVENT_TYPES = EVENT_TYPE_NAMES.filter((type) => /^(connection|grant)\./.test(type))

const MAX_URL_LENGTH_CHARS = 2000

/**
 * Checks the settings of a new webhook. Addresses are checked later, when connections are made.
 * @throws BrokerError `invalid_request` with every problem
 */
export function checkWebhook(
  { url, appId, types }: NewWebhook,
  context: { isAppKnown: boolean; allowed: string[] },
): void {
  const known = appId === null ? EVENT_TYPE_NAMES : APP_EVENT_TYPES
  const unknown = types.filter((type) => !known.includes(type))
  const problems = [
    urlProblem(url, context.allowed.length > 0),
    appId === null || context.isAppKnown ? null : `There is no app ${appId}.`,
    unknown.length > 0
      ? `${appId === null ? 'Unknown event types' : 'An app does not get these event types'}: ${unknown.join(', ')}. Use ${known.join(', ')}.`
      : null,
  ].filter((problem) => problem !== null)
  if (problems.length === 0) return
  const description = problems.join(' ')
  throw new BrokerError('invalid_request', { description, reason: 'invalid_webhook' })
}

/** What is wrong with the URL of a webhook; `null`: nothing. */
function urlProblem(text: string, isHttpAllowed: boolean): string | null {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) return 'The URL must begin with https://.'
  if (text.length > MAX_URL_LENGTH_CHARS) {
    return `The URL is longer than ${MAX_URL_LENGTH_CHARS} characters.`
  }
  if (url.username || url.password) return 'The URL must not have a user or password.'
  if (url.hash) return 'The URL must not have a fragment.'
  if (url.protocol === 'https:' || isHttpAllowed) return null
  return 'The URL must begin with https://. BROKER_WEBHOOK_ALLOW allows http in private networks.'
}
