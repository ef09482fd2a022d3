import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'

/**
 * One answer in a file: the body, its header as JSON, and a footer with the length of the header and checksums of
 * both. The header comes last because the length of a body may only be known at its end. After a loss of power a
 * file may have its name before its content: then footer or checksum are wrong, and it doesn't count.
 */
export interface Entry {
  header: unknown
  bodyBytes: number
  fileBytes: number
  /** When it was last used, as far as the file says; milliseconds since the epoch. */
  usedAt: number
  /** The body from byte `start` to byte `end`, both included. Closes the entry at its end. */
  body(start?: number, end?: number): Readable
  close(): Promise<void>
}

/** Writes one entry. After `abort`, or a call that failed, nothing is left of it. */
export interface EntryWriter {
  append(chunk: Uint8Array): Promise<void>
  commit(header: object): Promise<void>
  abort(): Promise<void>
}

const MAGIC = 0x45424331
const FOOTER_BYTES = 16
/** Entries up to this size are read at once, and their bodies checked. */
export const SMALL_BYTES = 256 * 1024
/** Holds nearly every header. */
const TAIL_BYTES = 8 * 1024

/** Reads the entry in a file; `undefined`: the file is missing or not complete. */
export async function readEntry(path: string): Promise<Entry | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return undefined
  try {
    const entry = await readOpened(file)
    if (!entry || entry.isInMemory) await file.close()
    return entry
  } catch {
    await file.close().catch(() => undefined)
    return undefined
  }
}

async function readOpened(
  file: FileHandle,
): Promise<(Entry & { isInMemory: boolean }) | undefined> {
  const { size, mtimeMs } = await file.stat()
  const isInMemory = size <= SMALL_BYTES
  let tail = await readTail(file, size, isInMemory ? size : TAIL_BYTES)
  const footer = tail && readFooter(tail)
  if (!tail || !footer) return undefined
  const { headerBytes, bodyChecksum, headerChecksum } = footer
  const bodyBytes = size - FOOTER_BYTES - headerBytes
  if (bodyBytes < 0) return undefined
  if (tail.length < headerBytes + FOOTER_BYTES) {
    tail = await readTail(file, size, headerBytes + FOOTER_BYTES)
    if (!tail) return undefined
  }
  const json = tail.subarray(tail.length - FOOTER_BYTES - headerBytes, tail.length - FOOTER_BYTES)
  if (crc32(json) !== headerChecksum) return undefined
  const content = isInMemory ? tail.subarray(0, bodyBytes) : null
  if (content && crc32(content) !== bodyChecksum) return undefined
  return {
    header: JSON.parse(json.toString()) as unknown,
    bodyBytes,
    fileBytes: size,
    usedAt: mtimeMs,
    isInMemory,
    body(start = 0, end = bodyBytes - 1) {
      if (content) return Readable.from([content.subarray(start, end + 1)], { objectMode: false })
      return file.createReadStream({ start, end })
    },
    close: async () => (content ? undefined : file.close()),
  }
}

async function readTail(
  file: FileHandle,
  size: number,
  bytes: number,
): Promise<Buffer | undefined> {
  const tail = Buffer.allocUnsafe(Math.min(size, bytes))
  let read = 0
  while (read < tail.length) {
    const position = size - tail.length + read
    const { bytesRead } = await file.read(tail, read, tail.length - read, position)
    if (bytesRead === 0) return undefined
    read += bytesRead
  }
  return tail
}

function readFooter(tail: Buffer) {
  if (tail.length < FOOTER_BYTES) return undefined
  const at = tail.length - FOOTER_BYTES
  if (tail.readUInt32BE(at + 12) !== MAGIC) return undefined
  return {
    headerBytes: tail.readUInt32BE(at),
    bodyChecksum: tail.readUInt32BE(at + 4),
    headerChecksum: tail.readUInt32BE(at + 8),
  }
}

/**
 * Writes an entry to an empty file.
 * @param discard closes and removes the file
 * @param finish closes the file of that many bytes, and gives it its name
 */
export function createEntryWriter(
  file: FileHandle,
  discard: () => Promise<void>,
  finish: (bytes: number) => Promise<void>,
): EntryWriter {
  let [bytes, checksum] = [0, 0]

  const write = async (chunk: Uint8Array): Promise<void> => {
    for (let at = 0; at < chunk.length;) {
      at += (await file.write(chunk, at, chunk.length - at)).bytesWritten
    }
    bytes += chunk.length
  }

  const orDiscard = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      await discard()
      throw error
    }
  }

  return {
    append: (chunk) =>
      orDiscard(async () => {
        await write(chunk)
        checksum = crc32(chunk, checksum)
      }),

    commit: (header) =>
      orDiscard(async () => {
        const json = Buffer.from(JSON.stringify(header))
        const footer = Buffer.alloc(FOOTER_BYTES)
        footer.writeUInt32BE(json.length, 0)
        footer.writeUInt32BE(checksum, 4)
        footer.writeUInt32BE(crc32(json), 8)
        footer.writeUInt32BE(MAGIC, 12)
        await write(Buffer.concat([json, footer]))
        await finish(bytes)
      }),

    abort: discard,
  }
}
