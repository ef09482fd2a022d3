import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import type { Test } from 'tap'
import { createEllipsisClient } from '../../server/ellipsis/client.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'
import type { EllipsisClient, EllipsisClientOptions } from '../../server/ellipsis/client.ts'
import { Secret } from '../../server/secret.ts'

export const NOW = 1_800_000_000_000
export const REFRESH_TOKEN = 'Refresh-Token-1-sent'
export const CLIENT_SECRET = 'Client-Secret-1-sent'

/** A client of a server that answers with `answer`. Both are closed at the end of the test. */
export async function clientOf(
  t: Test,
  answer: RequestListener,
  options: Partial<EllipsisClientOptions> = {},
): Promise<EllipsisClient> {
  const server = createServer(answer)
  const url = await listen(t, server)
  t.teardown(() => server.closeAllConnections())
  return clientAt(url, options)
}

/** A client of a server that sends exactly these bytes, and closes the connection. */
export async function clientOfBytes(t: Test, bytes: string): Promise<EllipsisClient> {
  const server = createSocketServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(bytes))
  })
  return clientAt(await listen(t, server))
}

/** Listens until the end of the test. Returns the URL. */
export async function listen(t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function clientAt(
  apiUrl: string,
  options: Partial<EllipsisClientOptions> = {},
): EllipsisClient {
  return createEllipsisClient({
    apiUrl,
    clientId: 'the-client',
    clientSecret: new Secret(CLIENT_SECRET),
    redirectUri: 'https://broker.example.com/callback',
    tokenRequest: 'form',
    accessTokenLifetimeSeconds: 1800,
    fetch,
    now: () => NOW,
    ...options,
  })
}

/** Answers every request alike; a body that is not text or bytes is sent as JSON. */
export const always =
  (status: number, body: unknown, headers: Record<string, string> = {}): RequestListener =>
  (request, response) => {
    request.resume()
    response.writeHead(status, headers)
    response.end(typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body))
  }

export const refresh = (client: EllipsisClient) => client.refresh(new Secret(REFRESH_TOKEN))

/** The EllipsisError that a call ends with; throws if it ends differently. */
export async function failureOf(call: Promise<unknown>): Promise<EllipsisError> {
  const ended: unknown = await call.catch((error: unknown) => error)
  if (ended instanceof EllipsisError) return ended
  throw new Error('no EllipsisError', { cause: ended })
}
