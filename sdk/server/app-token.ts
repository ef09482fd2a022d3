import { BrokerError } from '../shared/error.ts'
import type { Authenticate } from './client-authentication.ts'
import { formOf } from './http.ts'
import type { Answer, BrokerRequest, Call, CallOptions, Runtime } from './http.ts'

/** An app token ends this long before it expires, so that it is valid when it arrives. */
const MARGIN_SECONDS = 30

/**
 * Calls the app API (`/v1`). The app token is fetched once for all calls, and again when the broker refuses it.
 */
export function createApiCall(deps: {
  call: Call
  authenticate: Authenticate
  now: Runtime['now']
}): Call {
  const { call, authenticate, now } = deps
  let current: AppToken | undefined

  const request = (): AppToken => {
    const requestedAtMs = now()
    const init = async () => formOf({ grant_type: 'client_credentials', ...(await authenticate()) })
    const answer = call({ path: '/oauth/token', init })
    const token = answer.then(({ access_token: text }) => String(text))
    const requested = { token, expiresAtMs: Infinity }
    answer.then(
      ({ expires_in: lifetime }) => {
        requested.expiresAtMs = requestedAtMs + (Number(lifetime) - MARGIN_SECONDS) * 1000
      },
      () => drop(requested),
    )
    return requested
  }

  const get = (): AppToken => {
    if (!current || current.expiresAtMs <= now()) current = request()
    return current
  }

  const drop = (token: AppToken): void => {
    if (current === token) current = undefined
  }

  const send = async (
    request: BrokerRequest,
    { token }: AppToken,
    options: CallOptions = {},
  ): Promise<Answer> => {
    const authorization = `Bearer ${await untilAborted(token, options.signal)}`
    const init = async () => {
      const { headers, ...init } = await request.init()
      return { ...init, headers: { ...(headers as Record<string, string>), authorization } }
    }
    return call({ ...request, init }, options)
  }

  return async (request, options) => {
    const token = get()
    try {
      return await send(request, token, options)
    } catch (error) {
      if (!isAppTokenRefused(error)) throw error
      drop(token)
      return send(request, get(), options)
    }
  }
}

interface AppToken {
  token: Promise<string>
  expiresAtMs: number
}

/** With `reconnect_url`, the error is about the grant. */
const isAppTokenRefused = (error: unknown): boolean =>
  error instanceof BrokerError && error.code === 'invalid_token' && error.reconnectUrl === undefined

/** Waits for what others wait for too: only this wait ends with the signal. */
async function untilAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort)
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
