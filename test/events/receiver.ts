import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { Message } from '../../server/events/message.ts'

/** A request that the receiver got. */
export interface Received {
  id: string
  headers: IncomingHttpHeaders
  /** As sent. */
  body: string
  message: Omit<Message, 'id'>
  url: string
}

/** Answers a request. 'hangs': only the time limit of the attempt ends it. */
export type Answer = (response: ServerResponse, received: Received) => 'hangs' | undefined

export const ok: Answer = (response) => void response.writeHead(204).end()
export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end('x'.repeat(100))

export interface Receiver {
  url: string
  requests: Received[]
  /** Those that were answered with 2xx. */
  accepted: Received[]
  /** Requests in progress whose answer hangs. */
  hanging: Set<ServerResponse>
  /** How the next requests are answered. */
  answer: Answer
  /** Resolves when a condition holds, checked after each request. */
  until(condition: () => boolean): Promise<void>
  close(): Promise<void>
}

/** An endpoint of a host, on 127.0.0.1. */
export async function startReceiver(t: Pick<Test, 'teardown'>, port = 0): Promise<Receiver> {
  const arrivals = new EventEmitter()
  const receiver: Receiver = {
    url: '',
    requests: [],
    accepted: [],
    hanging: new Set(),
    answer: ok,
    async until(condition) {
      while (!condition()) await once(arrivals, 'request')
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      const { headers, url = '' } = request
      const id = String(headers['webhook-id'])
      const message = JSON.parse(body) as Received['message']
      const received = { id, headers, body, message, url }
      receiver.requests.push(received)
      if (receiver.answer(response, received) === 'hangs') {
        receiver.hanging.add(response)
        response.on('close', () => receiver.hanging.delete(response))
      }
      if (response.statusCode < 300 && response.headersSent) receiver.accepted.push(received)
      arrivals.emit('request')
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  t.teardown(() => receiver.close())
  return receiver
}

/** Environment of a broker whose webhooks may reach this machine. */
export const allowLoopback = { BROKER_WEBHOOK_ALLOW: '127.0.0.0/8' }
