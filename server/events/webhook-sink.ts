import { associatedData } from '../../db/associated-data.ts'
import type { Webhook } from '../../db/store.ts'
import type { Vault } from '../crypto/vault.ts'
import type { PublicRequests } from '../public-request.ts'
import type { Clock } from '../runtime.ts'
import type { Message } from './message.ts'
import { signaturesOf } from './signature.ts'
import type { Attempt, EventSink } from './sink.ts'

/** Limit of one attempt, from the look-up of the name to the end of the answer. */
export const ATTEMPT_TIMEOUT_MS = 15_000
/** What is read of an answer, so that the connection can be used again. Its content is ignored. */
const MAX_ANSWER_BYTES = 4096
const MAX_ERROR_LENGTH_CHARS = 200
const GONE = 410

/** The sink of a webhook: one POST for each attempt, signed at its time. */
export function createWebhookSink(
  webhook: Webhook,
  deps: { vault: Vault; requests: PublicRequests; clock: Clock },
): EventSink {
  const { vault, requests, clock } = deps
  const { id, url, appId, types, afterEventId, signing } = webhook

  const openKeys = () => {
    const { secret, previousSecret, previousSecretUntil } = webhook
    const isRotating = previousSecret !== null && (previousSecretUntil ?? 0) > clock.now()
    return [
      vault.open(associatedData.webhookSecret(id), secret),
      ...(isRotating ? [vault.open(associatedData.previousWebhookSecret(id), previousSecret)] : []),
    ]
  }

  const headersOf = (message: Message, body: string) => {
    const timestampSeconds = Math.floor(clock.now() / 1000)
    return {
      'content-type': 'application/json',
      'user-agent': 'ellipsis-broker',
      'webhook-id': message.id,
      'webhook-timestamp': String(timestampSeconds),
      'webhook-signature': signaturesOf(signing, openKeys(), {
        id: message.id,
        timestampSeconds,
        body,
      }),
    }
  }

  const post = async (message: Message, signal: AbortSignal): Promise<Attempt> => {
    const { id: _id, ...payload } = message
    const body = JSON.stringify(payload)
    const headers = headersOf(message, body)
    const answer = await requests.send(url, { method: 'POST', headers, body, signal })
    const { statusCode } = answer
    // The status decides; an answer that breaks off or never ends changes nothing.
    await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal }).catch(() => undefined)
    if (statusCode >= 200 && statusCode < 300) {
      return { outcome: 'delivered', answer: statusCode, error: null }
    }
    return {
      outcome: statusCode === GONE ? 'gone' : 'failed',
      answer: statusCode,
      error: `the endpoint answered with status ${statusCode}`,
      ...readRetryAfter(answer.headers['retry-after'], clock.now()),
    }
  }

  return {
    id,
    appId,
    types,
    afterEventId,
    async deliver(message, signal) {
      const ended = new AbortController()
      const timeout = new AbortController()
      void clock
        .sleep(ATTEMPT_TIMEOUT_MS, ended.signal)
        .then(() => timeout.abort(new Error('no answer within 15 seconds')))
      try {
        return await post(message, AbortSignal.any([signal, timeout.signal]))
      } catch (error) {
        return { outcome: 'failed', answer: null, error: describe(error) }
      } finally {
        ended.abort()
      }
    },
  }
}

/** For people who see the deliveries: which step failed, by the code of the system. */
function describe(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown }
  const text = typeof message === 'string' && message !== '' ? message : 'the request failed'
  const known = typeof code === 'string' && !text.includes(code) ? `${code}: ${text}` : text
  return known.slice(0, MAX_ERROR_LENGTH_CHARS)
}

/** RFC 9110 10.2.3: seconds, or a date. */
function readRetryAfter(
  value: string | string[] | undefined,
  now: number,
): Pick<Attempt, 'retryAfterMs'> {
  if (typeof value !== 'string') return {}
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return ms > 0 ? { retryAfterMs: ms } : {}
}
