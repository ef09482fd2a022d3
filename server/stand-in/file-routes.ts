import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { ApiError, findViewer, findVisiblePath, matchesEtag, requireUser } from './access.ts'
import type { Node } from './drive.ts'
import { describePath } from './drive.ts'
import { createEndpointHooks } from './endpoint-hooks.ts'
import { readContent, readRange } from './file-content.ts'
import { readMultipart } from './multipart.ts'
import type { StandIn } from './stand-in.ts'
import type { User } from './users.ts'

/** Uploads up to this size can be downloaded again; of larger ones, only the size is kept. */
const MAX_KEPT_BYTES = 4 * 1024 ** 2
const MAX_FIELD_BYTES = 64 * 1024
const SAMPLES_MODIFIED = 'Wed, 03 Sep 2025 09:00:00 GMT'

/**
 * Downloads and uploads of files, by the addresses of the Python client (C). Everything about their
 * headers is inferred (I): validators, ranges and the file's name.
 */
export const fileRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const hooksFor = createEndpointHooks(standIn)
  // The route reads the stream itself.
  app.addContentTypeParser('multipart/form-data', (_request, body, done) => done(null, body))

  app.route<{ Params: { id: string } }>({
    method: ['GET', 'HEAD'],
    url: '/path/:id/file/data',
    ...hooksFor('download'),
    async handler(request, reply) {
      const viewer = await findViewer(request, standIn)
      const node = findVisiblePath(request.params.id, viewer, standIn)
      if (node.item.type !== 'file') throw new ApiError(400, 'This path is not a file.')
      return sendFile(node, request, reply)
    },
  })

  app.post('/path/file', hooksFor('upload'), async (request) => {
    const user = await requireUser(request, standIn)
    const { file, fields } = await receive(request, standIn)
    const parent = findParent(fields.parentId, user, standIn)
    const node = standIn.drive.add(user, parent, {
      name: fields.name ?? file.name,
      type: 'file',
      sizeBytes: file.bytes,
      content: () => file.kept,
    })
    return describePath(node, user)
  })
}

function sendFile(node: Node, request: FastifyRequest, reply: FastifyReply) {
  const { headers } = request
  const size = node.item.sizeBytes ?? 0
  const etag = `"${node.id}-${size}"`
  void reply
    .header('accept-ranges', 'bytes')
    .header('etag', etag)
    .header('last-modified', SAMPLES_MODIFIED)
  if (matchesEtag(headers['if-none-match'], etag)) return reply.code(304).send()
  // RFC 9110 13.1.5: otherwise the file has changed since the first part was read.
  const isUnchanged = [undefined, etag, SAMPLES_MODIFIED].includes(headers['if-range']?.toString())
  const range = isUnchanged ? readRange(headers.range, size) : undefined
  if (range === null) {
    void reply.header('content-range', `bytes */${size}`)
    throw new ApiError(416, 'The range begins after the end of the file.')
  }
  const { start, end } = range ?? { start: 0, end: size }
  const content = readContent(node.item, start, end)
  if (!content) throw new ApiError(404, 'The stand-in did not keep the content of this file.')
  if (range) void reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${size}`)
  void reply
    .type(node.item.name.endsWith('.tif') ? 'image/tiff' : 'application/octet-stream')
    .header('content-length', end - start)
    .header('content-disposition', disposition(node.item.name))
  return reply.send(request.method === 'HEAD' ? '' : Readable.from(content, { objectMode: false }))
}

/** RFC 6266: with a name for clients that read ASCII only. */
const disposition = (name: string) =>
  `attachment; filename="${name.replace(/[^\w .()-]/g, '_')}"; filename*=UTF-8''${encodeURIComponent(name).replace(/['()*]/g, escape)}`

/** The folder to upload to; `null`: the top of the user's drive. */
function findParent(id: string | undefined, user: User, standIn: StandIn): Node | null {
  if (id === undefined) return null
  const parent = findVisiblePath(id, user, standIn)
  if (parent.owner !== user) throw new ApiError(403, 'You do not have access to this path.')
  if (parent.item.type !== 'folder') throw new ApiError(400, 'This path is not a folder.')
  return parent
}

interface Upload {
  name: string
  bytes: number
  /** `null` if the file is too large to keep. */
  kept: Buffer | null
}

/** Reads the upload as it arrives: one file, and the fields `name` and `parentId`. */
async function receive(
  request: FastifyRequest,
  standIn: StandIn,
): Promise<{ file: Upload; fields: Record<string, string> }> {
  const { 'content-type': type = '' } = request.headers
  if (!type.startsWith('multipart/form-data')) {
    throw new ApiError(415, 'Upload files as multipart/form-data.')
  }
  const record = standIn.recordOf(request.raw)
  const fields: Record<string, string> = {}
  const files: (Omit<Upload, 'kept'> & { parts: Buffer[] })[] = []
  const hash = createHash('sha256')
  // The name of the file's field differs between clients (C): `data` or `fileToUpload`.
  await readMultipart(request.body as AsyncIterable<Buffer>, type, ({ name, fileName }) => {
    if (fileName === undefined) return appendField(fields, name)
    const file = { name: fileName, bytes: 0, parts: [] as Buffer[] }
    files.push(file)
    return (bytes) => {
      hash.update(bytes)
      file.bytes += bytes.length
      if (record) record.fileBytes = file.bytes
      if (file.bytes <= MAX_KEPT_BYTES) file.parts.push(Buffer.from(bytes))
      else file.parts = []
    }
  })
  const [file, ...more] = files
  if (!file || more.length > 0) throw new ApiError(400, 'Upload exactly one file.')
  if (record) record.sha256 = hash.digest('hex')
  const kept = file.bytes <= MAX_KEPT_BYTES ? Buffer.concat(file.parts) : null
  return { file: { name: file.name, bytes: file.bytes, kept }, fields }
}

function appendField(fields: Record<string, string>, name: string): (bytes: Buffer) => void {
  fields[name] = ''
  return (bytes) => {
    fields[name] += bytes.toString('utf8')
    if (fields[name]!.length > MAX_FIELD_BYTES) throw new ApiError(400, `${name} is too long.`)
  }
}
