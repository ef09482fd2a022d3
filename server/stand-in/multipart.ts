import { ApiError } from './access.ts'

/** The head of one part of multipart/form-data (RFC 7578). */
export interface PartHead {
  name: string
  /** Set for files only. */
  fileName: string | undefined
}

const MAX_HEAD_BYTES = 16 * 1024
const HEAD_END = Buffer.from('\r\n\r\n')

/**
 * Reads multipart/form-data as it arrives; memory holds one chunk.
 * @param open called for each part; returns what to do with its bytes
 * @throws ApiError 400
 */
export async function readMultipart(
  body: AsyncIterable<Buffer>,
  contentType: string,
  open: (head: PartHead) => (bytes: Buffer) => void,
): Promise<void> {
  const [, quoted, plain] = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType) ?? []
  const boundary = quoted ?? plain
  if (boundary === undefined) throw new ApiError(400, 'The multipart body has no boundary.')
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  let rest: Buffer = Buffer.from('\r\n')
  let isInHead = false
  let isEnded = false
  let write: (bytes: Buffer) => void = () => undefined // what comes before the first part

  /** Returns whether there may be more to do without further bytes. */
  function advance(): boolean {
    if (isInHead) return readHead()
    const end = rest.indexOf(delimiter)
    if (end === -1) {
      const sure = rest.length - delimiter.length + 1
      if (sure > 0) take(sure)
      return false
    }
    take(end)
    if (rest.length < delimiter.length + 2) return false
    const after = rest.subarray(delimiter.length, delimiter.length + 2).toString('latin1')
    if (after !== '--' && after !== '\r\n')
      throw new ApiError(400, 'The multipart body is damaged.')
    rest = rest.subarray(delimiter.length)
    isInHead = after === '\r\n'
    isEnded = !isInHead
    return isInHead
  }

  function readHead(): boolean {
    const end = rest.indexOf(HEAD_END)
    if (end > MAX_HEAD_BYTES || (end === -1 && rest.length > MAX_HEAD_BYTES)) {
      throw new ApiError(400, 'A part of the multipart body has too long a head.')
    }
    if (end === -1) return false
    write = open(parseHead(rest.subarray(0, end).toString('utf8')))
    rest = rest.subarray(end + HEAD_END.length)
    isInHead = false
    return true
  }

  function take(length: number): void {
    if (length > 0) write(rest.subarray(0, length))
    rest = rest.subarray(length)
  }

  for await (const chunk of body) {
    if (isEnded) continue // the epilogue
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (advance());
  }
  if (!isEnded) throw new ApiError(400, 'The multipart body is incomplete.')
}

function parseHead(head: string): PartHead {
  const [, disposition] = /^content-disposition: *form-data(.*)$/im.exec(head) ?? []
  const parameter = (name: string) =>
    new RegExp(`; *${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(disposition ?? '')?.[1]
  const name = parameter('name')
  if (name === undefined) throw new ApiError(400, 'A part of the multipart body has no name.')
  return { name, fileName: parameter('filename') }
}
