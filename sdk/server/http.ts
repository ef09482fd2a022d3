import { BrokerError } from '../shared/error.ts'
import type { ErrorAnswer } from '../shared/error.ts'

/** What a call needs of its environment. */
export interface Runtime {
  fetch: typeof fetch
  /** Milliseconds since the epoch. */
  now(): number
  /** @throws the signal's reason */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

/** Options of every call. */
export interface CallOptions {
  /** Ends the call and its waits. */
  signal?: AbortSignal | undefined
}

/** An answer of the broker, parsed. */
export type Answer = Record<string, unknown>

/** A request. `once`: repeating it after a lost answer would do harm. */
export interface BrokerRequest {
  path: string
  /** Makes the request anew for each attempt: a client assertion works once (RFC 7523). */
  init(): RequestInit | Promise<RequestInit>
  once?: boolean
}

export type Call = (request: BrokerRequest, options?: CallOptions) => Promise<Answer>

/**
 * Calls the broker. While it is busy or does not answer, tries again after `Retry-After`, or after 1, 2, 4, … seconds.
 * @param timeoutMs limit of one attempt
 * @param retryForSeconds longest total wait between attempts of one call
 */
export function createCall(
  runtime: Runtime,
  options: { broker: string; timeoutMs: number; retryForSeconds: number },
): Call {
  const { broker, timeoutMs, retryForSeconds } = options

  const attempt = async (request: BrokerRequest, signal?: AbortSignal): Promise<Answer> => {
    signal?.throwIfAborted()
    const init = await request.init()
    const limit = AbortSignal.timeout(timeoutMs)
    const both = signal ? AbortSignal.any([signal, limit]) : limit
    try {
      // A redirect would take credentials to another place.
      const response = await runtime.fetch(broker + request.path, {
        ...init,
        redirect: 'manual',
        signal: both,
      })
      return readAnswer(response, await response.text())
    } catch (cause) {
      if (cause instanceof BrokerError) throw cause
      signal?.throwIfAborted()
      throw new BrokerError('network_error', 'The broker cannot be reached.', {}, cause)
    }
  }

  return async (request, { signal } = {}) => {
    let leftMs = retryForSeconds * 1000
    for (let backoffSeconds = 1; ; backoffSeconds *= 2) {
      try {
        return await attempt(request, signal)
      } catch (error) {
        if (!(error instanceof BrokerError) || !RETRIED.includes(error.code)) throw error
        // The broker may have done what it was asked to.
        if (request.once && error.code === 'network_error') throw error
        const { retryAfter = 0 } = error
        // Shorter waits would use up no time, and NaN would never end.
        const waitMs = (retryAfter >= 1 ? retryAfter : backoffSeconds) * 1000
        if (waitMs > leftMs) throw error
        leftMs -= waitMs
        await runtime.sleep(waitMs, signal)
      }
    }
  }
}

const RETRIED = ['network_error', 'temporarily_unavailable', 'slow_down']

function readAnswer(response: Response, text: string): Answer {
  const body = parse(text)
  if (response.ok && body) return body
  const retryAfter = Number(response.headers.get('retry-after') ?? NaN)
  const details = Number.isFinite(retryAfter) ? { retry_after: retryAfter } : {}
  const answer: ErrorAnswer = { ...body, ...details }
  if (answer.error) throw new BrokerError(answer.error, answer.error_description, answer)
  const code = response.status >= 502 ? 'temporarily_unavailable' : 'server_error'
  const message = `This is not an answer of the broker (status ${response.status}).`
  throw new BrokerError(code, message, details)
}

/** A JSON object, or `{}` for an empty body. */
function parse(text: string): Answer | undefined {
  try {
    const body: unknown = text === '' ? {} : JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as Answer) : undefined
  } catch {
    return undefined
  }
}

/** Parameters, without those that have no value. */
export const parametersOf = (fields: Record<string, string | undefined>): URLSearchParams =>
  new URLSearchParams(Object.entries(fields).filter((pair) => pair[1] !== undefined) as string[][])

/** A form to post. */
export const formOf = (fields: Record<string, string | undefined>): RequestInit => ({
  method: 'POST',
  body: parametersOf(fields),
})

/** The runtime of Node, Deno and Bun. */
export const standardRuntime: Runtime = {
  fetch: (...request) => fetch(...request),
  now: () => Date.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason as Error)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, milliseconds)
      if (signal?.aborted) onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
}

/** A request with a JSON body. */
export const jsonOf = (method: string, body?: object): RequestInit => ({
  method,
  ...(body && {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }),
})

/** An answer with its names in camel case. */
export const camelCase = <T>(answer: Answer): T =>
  Object.fromEntries(
    Object.entries(answer).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  ) as T
