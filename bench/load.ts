import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** Builds an HTTP request as bytes. */
export function buildRequest(
  url: string,
  method: string,
  headers: Record<string, string>,
  body = '',
): Buffer {
  const { host, pathname } = new URL(url)
  const allHeaders = {
    host,
    ...headers,
    ...(body && { 'content-length': String(Buffer.byteLength(body)) }),
  }
  const lines = Object.entries(allHeaders).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

interface LoadOptions {
  connections?: number
  seconds?: number
  requests?: number
  onResponse?: (durationMs: number) => void
}

/**
 * Sends the same request over `connections` sockets, one at a time on each. The client costs little, so
 * that the result depends on the server.
 * @param options.seconds duration
 * @param options.requests total number of requests, instead of a duration
 * @param options.onResponse called for each response with its duration
 * @returns responses per second
 * @throws Error if a response has another status than 200
 */
export async function sendLoad(
  url: string,
  bytes: Buffer,
  { connections = 32, seconds = 2, requests, onResponse }: LoadOptions = {},
): Promise<number> {
  const endsAt = performance.now() + seconds * 1000
  let remainingRequests = requests ?? Infinity
  const hasMore = () =>
    requests === undefined ? performance.now() < endsAt : remainingRequests-- > 0
  const { port } = new URL(url)
  const startedAt = performance.now()
  // Keep the client awake: waking it would cost the slower server more than the faster one.
  let isBusy = true
  const spin = () => void (isBusy && setImmediate(spin))
  spin()
  const counts = await Promise.all(
    Array.from({ length: connections }, () =>
      sendRequests(connect(Number(port), '127.0.0.1'), bytes, hasMore, onResponse),
    ),
  )
  isBusy = false
  const total = counts.reduce((sum, count) => sum + count, 0)
  return (total * 1000) / (performance.now() - startedAt)
}

/** Sends requests over one socket while `hasMore`. Returns the number of responses. */
function sendRequests(
  socket: Socket,
  bytes: Buffer,
  hasMore: () => boolean,
  onResponse: LoadOptions['onResponse'],
): Promise<number> {
  return new Promise((resolve, reject) => {
    let responses = 0
    let received = ''
    let sentAt = performance.now()
    socket.setNoDelay()
    socket.on('error', reject)
    socket.on('connect', () => socket.write(bytes))
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
      const headEnd = received.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      const length = /content-length: (\d+)/i.exec(received)?.[1]
      if (received.length < headEnd + 4 + Number(length)) return
      if (!received.startsWith('HTTP/1.1 200')) return reject(new Error(received.slice(0, 300)))
      received = ''
      responses++
      onResponse?.(performance.now() - sentAt)
      sentAt = performance.now()
      if (hasMore()) return socket.write(bytes)
      socket.destroy()
      resolve(responses)
    })
  })
}

export const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

/** Median and 99th percentile, in the unit of the values. */
export interface Percentiles {
  median: number
  p99: number
}

export function percentilesOf(values: number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  return { median: at(0.5) ?? NaN, p99: at(0.99) ?? NaN }
}
