import { BrokerError } from '../shared/error.ts'
import type { ErrorAnswer } from '../shared/error.ts'
import { prove } from './dpop.ts'
import type { Key } from './dpop.ts'

/** Who sends a request: the broker token, and the key that it is bound to. */
export interface Sender {
  token?: string
  key?: Key | undefined
}

/** Sends a request to a path of the broker. @throws BrokerError for every answer that is the broker's error */
export type Call = (path: string, init: RequestInit, sender?: Sender) => Promise<Response>

/** Header of errors of the proxy: an answer without it is Ellipsis Drive's. */
const PROXY_ERROR = 'ellipsis-broker-error'

export function createCall(broker: string): Call {
  let nonce: string | undefined
  // Of this device to the broker: a proof with the time of a wrong clock is refused.
  let clockOffsetMs = 0

  return async (path, init, { token, key } = {}) => {
    for (let isRetry = false; ; isRetry = true) {
      const url = broker + path
      const method = (init.method ?? 'GET').toUpperCase()
      const headers = new Headers(init.headers)
      if (token) headers.set('authorization', `${key ? 'DPoP' : 'Bearer'} ${token}`)
      if (key) {
        const proof = { method, url, token, nonce }
        headers.set('dpop', await prove(key, proof, Date.now() + clockOffsetMs))
      }
      const response = await fetch(url, { ...init, method, headers }).catch((cause: unknown) => {
        if (init.signal?.aborted) throw cause
        throw new BrokerError('network_error', 'The broker cannot be reached.', {}, cause)
      })
      nonce = response.headers.get('dpop-nonce') ?? nonce
      const isDrive = path.startsWith('/drive/') && !response.headers.has(PROXY_ERROR)
      if (response.ok || isDrive) return response
      const answer = (await response.json().catch(() => ({}))) as ErrorAnswer
      const { error = 'server_error', error_description: description } = answer
      if (isRetry || !key || !error.includes('dpop'))
        throw new BrokerError(error, description, answer)
      const date = Date.parse(response.headers.get('date') ?? '')
      if (error.startsWith('invalid') && date) clockOffsetMs = date - Date.now()
    }
  }
}
