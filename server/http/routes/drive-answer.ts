import type { FastifyReply, FastifyRequest } from 'fastify'
import type { DriveAnswer, DriveRequest } from '../../drive/request.ts'
import { bodyTooLarge } from '../../drive/forward.ts'
import { recordChunk } from '../../drive/garbage.ts'
import { mergeVary } from '../../drive/headers.ts'
import type { DrivePath } from '../../drive/path.ts'
import { BrokerError } from '../../errors.ts'
import type { DriveMetrics } from '../../metrics/drive.ts'
import { continueUpload } from '../plugins/uploads.ts'

/**
 * Answers of Ellipsis Drive never act on the broker's origin, where admins sign in: a page or an image with
 * scripts that somebody opens there runs in an origin of its own, and loads nothing.
 */
export const CONTAINED_HEADERS = {
  'content-security-policy': "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'",
}

/** Of every answer of the proxy: a page gets it by fetch, with CORS, and in no other way. */
const PROXY_HEADERS = { ...CONTAINED_HEADERS, 'cross-origin-resource-policy': 'same-origin' }

/**
 * The request as the domain sends it on. Its body is read as Ellipsis Drive takes it.
 * @throws BrokerError `invalid_request`: a body over the limit (413), of a method without one, or an upgrade
 */
export function toDriveRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  path: DrivePath,
  uploadLimitBytes: number,
): DriveRequest {
  const { raw, headers, method } = request
  if (/\bwebsocket\b/i.test(headers.upgrade ?? '')) throw refusal(NO_UPGRADE, 'drive_upgrade')
  const hasBody = hasRequestBody(request)
  if (hasBody && (method === 'GET' || method === 'HEAD'))
    throw refusal(NO_BODY, 'drive_body_of_get')
  if (Number(headers['content-length'] ?? 0) > uploadLimitBytes)
    throw bodyTooLarge(uploadLimitBytes)
  const left = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) left.abort(new Error('the client left'))
  })
  if (hasBody) continueUpload(raw, reply.raw)
  return { method, path, headers, body: hasBody ? raw : null, signal: left.signal }
}

const NO_UPGRADE = 'The broker passes HTTP requests on, and no WebSocket.'
const NO_BODY = 'Send no body with GET or HEAD.'

const refusal = (description: string, reason: string): BrokerError =>
  new BrokerError('invalid_request', { description, reason, isGuess: false })

/** Is there a body (RFC 9112 6.3)? */
export const hasRequestBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/**
 * Streams an answer to the client, without Fastify: it would log each client that leaves.
 * @param prefix path of the broker that stands for the API's base, for `Location`
 * @param ownHeaders take precedence over those of the answer
 */
export function sendDriveAnswer(
  reply: FastifyReply,
  { status, headers, body }: DriveAnswer,
  prefix: string,
  metrics: DriveMetrics,
  ownHeaders: Record<string, string> = PROXY_HEADERS,
): void {
  const { raw, request } = reply
  reply.hijack()
  const { location } = headers
  const isClosing = !request.server.server.listening
  raw.writeHead(status, {
    ...(reply.getHeaders() as Record<string, string>),
    ...headers,
    ...ownHeaders,
    // Another user of this browser has another token.
    vary: mergeVary(reply.getHeader('vary') as string | undefined, headers.vary, 'Authorization'),
    ...(location !== undefined && { location: prefix + String(location) }),
    'x-request-id': request.id,
    ...(isClosing && { connection: 'close' }),
  })
  if (body === null) return void raw.end()
  body.on('data', (chunk: Buffer) => {
    metrics.addBytes('download', chunk.length)
    recordChunk(chunk.length)
  })
  // The client must notice that the body is incomplete.
  body.on('error', () => raw.destroy())
  raw.on('close', () => body.destroy())
  body.pipe(raw)
}
