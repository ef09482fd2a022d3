import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** One HTTP request, as bytes. */
export function request(
  url: string,
  method: string,
  headers: Record<string, string>,
  body = '',
): Buffer {
  const { host, pathname } = new URL(url)
  const all = {
    host,
    ...headers,
    ...(body && { 'content-length': String(Buffer.byteLength(body)) }),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

interface Load {
  connections?: number
  seconds?: number
  requests?: number
  told?: (milliseconds: number) => void
}

/**
 * Sends the same request over `connections` sockets, one at a time on each, and counts the answers: a
 * client that costs so little that the server is what is measured.
 * @param options.seconds how long
 * @param options.requests how many instead, in all
 * @param options.told told of each answer, after how many milliseconds it came
 * @returns answers a second
 * @throws Error if an answer has another status than 200
 */
export async function load(
  url: string,
  bytes: Buffer,
  { connections = 32, seconds = 2, requests, told }: Load = {},
): Promise<number> {
  const end = performance.now() + seconds * 1000
  let left = requests ?? Infinity
  const more = () => (requests === undefined ? performance.now() < end : left-- > 0)
  const { port } = new URL(url)
  const startedAt = performance.now()
  // The client never sleeps: or else to wake it would cost the slower server more than the quicker one.
  let busy = true
  const spin = () => void (busy && setImmediate(spin))
  spin()
  const counts = await Promise.all(
    Array.from({ length: connections }, () =>
      drive(connect(Number(port), '127.0.0.1'), bytes, more, told),
    ),
  )
  busy = false
  const total = counts.reduce((sum, count) => sum + count, 0)
  return (total * 1000) / (performance.now() - startedAt)
}

function drive(
  socket: Socket,
  bytes: Buffer,
  more: () => boolean,
  told: Load['told'],
): Promise<number> {
  return new Promise((resolve, reject) => {
    let answers = 0
    let pending = ''
    let sentAt = performance.now()
    socket.setNoDelay()
    socket.on('error', reject)
    socket.on('connect', () => socket.write(bytes))
    socket.on('data', (chunk: Buffer) => {
      pending += chunk.toString('latin1')
      const head = pending.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = /content-length: (\d+)/i.exec(pending)?.[1]
      if (pending.length < head + 4 + Number(length)) return
      if (!pending.startsWith('HTTP/1.1 200')) return reject(new Error(pending.slice(0, 300)))
      pending = ''
      answers++
      told?.(performance.now() - sentAt)
      sentAt = performance.now()
      if (more()) return socket.write(bytes)
      socket.destroy()
      resolve(answers)
    })
  })
}

export const median = (values: number[]): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN
