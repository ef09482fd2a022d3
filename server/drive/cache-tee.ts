import { Transform } from 'node:stream'
import type { EntryWriter } from './cache-entry.ts'

/** What a client's body leaves in the cache. */
export interface Keeping {
  /** Opens the entry's file. */
  create: () => Promise<EntryWriter>
  /** Stored with the body. */
  header: object
  maxBytes: number
  /** By `Content-Length`; `null`: unknown. A body of another length is not complete. */
  expectedBytes: number | null
  /** Memory for bytes that wait for the disk, shared by all bodies. */
  memory: Memory
  /** The entry is stored, or will never be. */
  onEnd: () => void
}

/** Counts bytes. */
export interface Memory {
  bytes: number
}

/** A body is written to disk in pieces of this size; smaller bodies at once, when they are complete. */
const PIECE_BYTES = 256 * 1024
/** A body whose disk is so far behind its client is not stored. */
const MAX_BEHIND_BYTES = 16 * PIECE_BYTES
const MAX_MEMORY_BYTES = 64 * 1024 * 1024

/**
 * Passes a body on as fast as its reader takes it, and stores a copy. The reader never waits for the disk: the
 * copy is given up if the disk is too slow, or fails. It is stored only if the body ends.
 */
export function createTee(keeping: Keeping): Transform {
  const { create, header, maxBytes, expectedBytes, memory, onEnd } = keeping
  let waiting: Uint8Array[] = []
  let [behindBytes, totalBytes] = [0, 0]
  let state: 'open' | 'ended' | 'dropped' = 'open'
  let isWriting = false
  let isCommitted = false
  let isOver = false
  let writer: EntryWriter | null = null

  const isDropped = (): boolean => state === 'dropped'

  const release = (bytes: number): void => {
    behindBytes -= bytes
    memory.bytes -= bytes
  }

  const end = (): void => {
    if (!isOver) onEnd()
    isOver = true
  }

  const drop = (): void => {
    if (isOver) return
    state = 'dropped'
    waiting = []
    release(behindBytes)
    // A write in progress ends first, and then removes the file.
    if (isWriting) return
    void writer?.abort()
    end()
  }

  const writeWaiting = async (): Promise<void> => {
    writer ??= await create()
    while (state !== 'dropped' && waiting.length > 0) {
      const piece = waiting.length === 1 ? waiting[0] : Buffer.concat(waiting)
      if (!piece) return
      waiting = []
      await writer.append(piece)
      // `drop` has released everything.
      if (!isDropped()) release(piece.length)
    }
    if (isDropped()) await writer.abort()
    else if (state === 'ended') {
      await writer.commit(header)
      isCommitted = true
    }
  }

  const write = (): void => {
    if (isWriting) return
    isWriting = true
    writeWaiting()
      .then(() => {
        isWriting = false
        if (isDropped() || isCommitted) end()
        else if (state === 'ended' || behindBytes >= PIECE_BYTES) write()
      })
      .catch(() => {
        isWriting = false
        writer = null
        drop()
        end()
      })
  }

  const keep = (chunk: Uint8Array): void => {
    if (state !== 'open') return
    totalBytes += chunk.length
    behindBytes += chunk.length
    memory.bytes += chunk.length
    waiting.push(chunk)
    const isSlow = behindBytes > MAX_BEHIND_BYTES || memory.bytes > MAX_MEMORY_BYTES
    if (totalBytes > maxBytes || isSlow) drop()
    else if (behindBytes >= PIECE_BYTES) write()
  }

  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      keep(chunk)
      done(null, chunk)
    },
    flush(done) {
      if (state === 'open') {
        if (expectedBytes !== null && totalBytes !== expectedBytes) drop()
        else {
          state = 'ended'
          write()
        }
      }
      done()
    },
    destroy(error, done) {
      if (state === 'open') drop()
      done(error)
    },
  })
}
