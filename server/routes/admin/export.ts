import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ExportFormat } from '../../domain/export.ts'
import type { Services } from '../../services.ts'
import { formOf } from './form.ts'

const TYPES: Record<ExportFormat, string> = {
  csv: 'text/csv; charset=utf-8; header=present',
  jsonl: 'application/x-ndjson; charset=utf-8',
}

/** Sends an export in the format that the form asks for, as fast as it is taken. It ends with the server. */
export async function sendExport(
  request: FastifyRequest,
  reply: FastifyReply,
  name: string,
  write: (format: ExportFormat) => Promise<AsyncGenerator<string, void>>,
  { clock, log }: Pick<Services, 'clock' | 'log'>,
): Promise<FastifyReply> {
  const format = formOf(request)('format') === 'jsonl' ? 'jsonl' : 'csv'
  const stream = Readable.from(await write(format), { objectMode: false, highWaterMark: 64 * 1024 })
  stream.on('error', (error) => {
    log.error({ request: request.id, err: error }, 'an export was broken off')
  })
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  return reply
    .type(TYPES[format])
    .header('content-disposition', `attachment; filename="${name}-${day}.${format}"`)
    .send(stream)
}
