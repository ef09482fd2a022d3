import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Secret } from '../secret.ts'
import type { EllipsisClientOptions, Outcome } from './client.ts'
import { EllipsisError, isOutage } from './errors.ts'
import { errorCode } from './transport.ts'

/** A request of an app, as it is sent to the Ellipsis Drive API. */
interface DriveCall {
  method: string
  /** Path and query below the API's base; begins with `/`. */
  path: string
  headers: Record<string, string>
  accessToken: Secret
  body: AsyncIterable<Buffer> | null
  /** Cancels the call, and the body of its answer. */
  signal: AbortSignal
}

/** An answer of the Ellipsis Drive API. */
export interface DriveResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** Not read yet. Read it or destroy it. */
  body: Readable
}

/** Sends requests of apps to the Ellipsis Drive API, and nowhere else. Buffers no body, follows no redirect. */
export interface DriveClient {
  /**
   * Resolves with the answer's headers.
   * @throws EllipsisError `transient`: there was no answer. The reason of the signal; the error of the body; a
   *   TypeError: HTTP has no such request
   */
  request(call: DriveCall): Promise<DriveResponse>
  /** Ends all calls and connections. */
  close(): Promise<void>
}

const CONNECT_TIMEOUT_MS = 10_000
/** From the last byte of the request; a map is drawn, a file is looked up. */
const HEADERS_TIMEOUT_MS = 60_000
/** Between two pieces of the answer. Time in which the client reads nothing does not count. */
const IDLE_BODY_TIMEOUT_MS = 60_000

const outcomeOf = (status: number): Outcome => {
  if (status < 400) return 'ok'
  return isOutage(status) ? `${status}` : `${Math.floor(status / 100)}xx`
}

/**
 * @param options.proxy the proxy for outgoing calls; `null`: none. Certificates are checked as in other calls
 * @param options.onCall called with each answer's status and the milliseconds until its headers
 */
export function createDriveClient(
  options: Pick<EllipsisClientOptions, 'apiUrl' | 'onCall'> & { proxy: Secret | null },
): DriveClient {
  const { origin, pathname } = new URL(options.apiUrl)
  const base = pathname.replace(/\/$/, '')
  const limits = {
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: IDLE_BODY_TIMEOUT_MS,
  }
  // Both send to the origin alone: a path or a Host header can't name another one. A request has a connection of
  // its own, so that no slow download delays another request.
  const connect = async (): Promise<Dispatcher> => {
    const { Pool, ProxyAgent } = await import('undici')
    return options.proxy
      ? new ProxyAgent({ uri: options.proxy.reveal(), ...limits })
      : new Pool(origin, { ...limits, pipelining: 1, connections: null })
  }
  // undici takes 0.1 s to load, so only the first request loads it.
  let dispatcher: Promise<Dispatcher> | undefined

  const report = (startedAt: number, outcome: Outcome): void => {
    const durationMs = performance.now() - startedAt
    options.onCall?.({ endpoint: 'drive', outcome, durationMs, date: null })
  }

  return {
    async request({ method, path, headers, accessToken, body, signal }) {
      const startedAt = performance.now()
      const failed: { body?: Error } = {}
      const sent = body && watchErrors(body, (error) => (failed.body = error as Error))
      try {
        dispatcher ??= connect()
        const pool = await dispatcher
        const answer = await pool.request({
          origin,
          method: method,
          path: base + path,
          headers: {
            ...headers,
            'user-agent': 'ellipsis-broker',
            authorization: `Bearer ${accessToken.reveal()}`,
          },
          // undici reads any async iterable; its types name only a stream.
          body: sent as unknown as Readable | null,
          signal,
        })
        const { statusCode: status } = answer
        report(startedAt, outcomeOf(status))
        return { status, headers: answer.headers, body: answer.body }
      } catch (error) {
        signal.throwIfAborted()
        if (failed.body) throw failed.body
        if (isInvalid(error)) {
          throw new TypeError('HTTP has no such request', { cause: error })
        }
        report(startedAt, 'failed')
        const message = `Ellipsis Drive could not be reached, or broke off (${errorCode(error)})`
        const maybeApplied = method !== 'GET' && method !== 'HEAD'
        throw new EllipsisError(message, { kind: 'transient', status: null, maybeApplied })
      }
    },

    close: async () => (await dispatcher)?.destroy(),
  }
}

/** Did undici refuse to send the request, such as one with a malformed header? */
const isInvalid = (error: unknown): boolean =>
  ['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED'].includes(errorCode(error))

/** Tells an error of the request's own body, which is not Ellipsis Drive's, from others. */
async function* watchErrors<T>(
  body: AsyncIterable<T>,
  onError: (error: unknown) => void,
): AsyncGenerator<T> {
  try {
    for await (const chunk of body) yield chunk
  } catch (error) {
    onError(error)
    throw error
  }
}
