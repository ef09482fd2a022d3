import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ExportFormat } from '../../../connections/export.ts'
import type { HttpServices } from '../../../services.ts'
import { findSession } from '../../plugins/session.ts'
import { fieldReader } from './request.ts'

const CONTENT_TYPES: Record<ExportFormat, string> = {
  csv: 'text/csv; charset=utf-8; header=present',
  jsonl: 'application/x-ndjson; charset=utf-8',
}

/**
 * Streams an export in the format that the form requests. If the server stops or the session ends, the
 * download fails.
 */
export async function sendExport(
  request: FastifyRequest,
  reply: FastifyReply,
  name: string,
  write: (format: ExportFormat) => Promise<AsyncGenerator<string, void>>,
  services: HttpServices,
): Promise<FastifyReply> {
  const { clock, log } = services
  const format = fieldReader(request.body)('format') === 'jsonl' ? 'jsonl' : 'csv'
  const chunks = whileSignedIn(request, await write(format), services)
  const stream = Readable.from(chunks, { objectMode: false, highWaterMark: 64 * 1024 })
  stream.on('error', (error) => {
    log.error({ request: request.id, err: error }, 'an export failed')
  })
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  return reply
    .type(CONTENT_TYPES[format])
    .header('content-disposition', `attachment; filename="${name}-${day}.${format}"`)
    .send(stream)
}

/** Checks the session before each chunk. This also keeps the session alive during a download. */
async function* whileSignedIn(
  request: FastifyRequest,
  chunks: AsyncGenerator<string, void>,
  services: HttpServices,
): AsyncGenerator<string, void> {
  for await (const chunk of chunks) {
    const signedIn = await findSession(request, services)
    if (!signedIn) throw new Error('the session that requested the export has ended')
    yield chunk
  }
}
