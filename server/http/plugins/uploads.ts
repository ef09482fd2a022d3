import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Uploads that stream: when they may begin, and how long they may take. */

/** Connections with an upload that may take longer than another request. Idle ones are closed all the same. */
const uploading = new WeakSet<Socket>()
/** Requests whose client waits for `100 Continue`. */
const waiting = new WeakSet<IncomingMessage>()

/**
 * Lets routes below `path` answer before a client sends the body that it announces with `Expect: 100-continue`
 * (RFC 9110 10.1.1). Other routes ask for the body at once.
 */
export function deferContinue({ server }: FastifyInstance, path: string): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.startsWith(path)) waiting.add(request)
    else response.writeContinue()
    server.emit('request', request, response)
  })
}

/** The request is accepted: its body may come, and take as long as it is not idle. */
export function continueUpload(request: IncomingMessage, response: ServerResponse): void {
  if (waiting.delete(request)) response.writeContinue()
  const { socket } = request
  uploading.add(socket)
  response.once('close', () => uploading.delete(socket))
}

/**
 * Node's HTTP server reports a request whose body takes longer than its limit like a malformed one. Fastify's
 * option `clientErrorHandler`: closes the connection, unless it is an upload in time.
 */
export function handleClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && uploading.has(socket)) return
  const status = STATUSES[error.code ?? ''] ?? '400 Bad Request'
  const body = JSON.stringify({
    error: 'invalid_request',
    error_description: `${status.slice(4)}.`,
  })
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\nContent-Type: application/json\r\n` +
        `Connection: close\r\n\r\n${body}`,
    )
  }
  socket.destroy(error)
}

const STATUSES: Record<string, string> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
}
