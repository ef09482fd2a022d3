import { useCallback, useEffect, useState } from 'react'
import type { Client, ConnectOptions } from '../client.ts'

export interface Connection {
  /** `loading`: until the stored connection is read. */
  status: 'loading' | 'connected' | 'disconnected' | 'reconnect-required'
  /** Why the last attempt to connect failed, such as a BrokerError with the code `access_denied`. */
  error: Error | null
  /** Call it in a click. It never rejects: see `error`. */
  connect(options?: ConnectOptions): Promise<void>
}

/**
 * The state of a client's connection, for React 18 and later. The component renders again when it changes, also in
 * another tab. Handles the answer to a redirect when the page loads. Create the client outside of components.
 */
export function useEllipsis(
  client: Pick<Client, 'connect' | 'handleRedirect' | 'isConnected' | 'on'>,
): Connection {
  const [status, setStatus] = useState<Connection['status']>('loading')
  const [error, setError] = useState<Error | null>(null)

  useEffect(() => {
    const events = ['connected', 'disconnected', 'reconnect-required'] as const
    const stops = events.map((event) => client.on(event, () => setStatus(event)))
    const load = async () => {
      await client.handleRedirect().catch(setError)
      const isConnected = await client.isConnected()
      setStatus((now) => (now === 'loading' ? (isConnected ? 'connected' : 'disconnected') : now))
    }
    void load()
    return () => stops.forEach((stop) => stop())
  }, [client])

  const connect = useCallback(
    async (options?: ConnectOptions) => {
      setError(null)
      await client.connect(options).catch(setError)
    },
    [client],
  )
  return { status, error, connect }
}
