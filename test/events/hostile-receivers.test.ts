/** Endpoints that attack the broker by how they answer. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { buildBroker } from '../helper.ts'
import { allowLoopback } from './receiver.ts'

const LIMIT_BYTES = 64 * 2 ** 20

/** An endpoint that repeats a part of an answer, until `LIMIT_BYTES`. Then it accepts the event. */
async function startFlood(t: Test, begin: string, part: string) {
  const bytes = Buffer.from(part.repeat(1 + 65_536 / part.length))
  let sent = 0
  const flood = (socket: Socket) => {
    while (sent < LIMIT_BYTES && !socket.destroyed) {
      sent += bytes.length
      if (!socket.write(bytes)) return
    }
    socket.end('HTTP/1.1 204 No Content\r\n\r\n')
  }
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('drain', () => flood(socket))
    socket.once('data', () => {
      socket.write(begin)
      flood(socket)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return { url, sent: () => sent }
}

const floods = {
  'interim responses': ['', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'],
  'a chunk extension': ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;', 'x'],
  trailers: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n', 'a: b\r\n'],
} as const

for (const [name, [begin, part]] of Object.entries(floods)) {
  t.test(`${name} without end are not read`, async (t) => {
    const { services } = await buildBroker(t, { env: allowLoopback })
    const flood = await startFlood(t, begin, part)
    const settings = { url: flood.url, appId: null, types: [], signing: 'v1' as const }
    const { webhook } = await services.webhooks.add(settings, 'cli')
    const attempt = await services.webhooks.test(webhook.id, 'cli')
    t.match(
      attempt,
      begin === '' ? { outcome: 'failed', error: 'the answer is too long' } : { answer: 200 },
    )
    t.ok(flood.sent() < LIMIT_BYTES / 4, `${flood.sent()} bytes`)
  })
}
