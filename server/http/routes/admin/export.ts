import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ExportFormat } from '../../../connections/export.ts'
import type { HttpServices } from '../../../services.ts'
import { findSession } from '../../plugins/session.ts'
import { formOf } from './form.ts'

const TYPES: Record<ExportFormat, string> = {
  csv: 'text/csv; charset=utf-8; header=present',
  jsonl: 'application/x-ndjson; charset=utf-8',
}

/**
 * Sends an export in the format that the form asks for, as fast as it is taken. It ends with the server, and
 * with the session: what is cut off so fails as a download.
 */
export async function sendExport(
  request: FastifyRequest,
  reply: FastifyReply,
  name: string,
  write: (format: ExportFormat) => Promise<AsyncGenerator<string, void>>,
  services: HttpServices,
): Promise<FastifyReply> {
  const { clock, log } = services
  const format = formOf(request)('format') === 'jsonl' ? 'jsonl' : 'csv'
  const pieces = whileSignedIn(request, await write(format), services)
  const stream = Readable.from(pieces, { objectMode: false, highWaterMark: 64 * 1024 })
  stream.on('error', (error) => {
    log.error({ request: request.id, err: error }, 'an export was broken off')
  })
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  return reply
    .type(TYPES[format])
    .header('content-disposition', `attachment; filename="${name}-${day}.${format}"`)
    .send(stream)
}

/** Looks for the session again with each piece; a download that goes on is use of it. */
async function* whileSignedIn(
  request: FastifyRequest,
  pieces: AsyncGenerator<string, void>,
  services: HttpServices,
): AsyncGenerator<string, void> {
  for await (const piece of pieces) {
    const signedIn = await findSession(request, services)
    if (!signedIn) throw new Error('the session of whoever asked for it has ended')
    yield piece
  }
}
