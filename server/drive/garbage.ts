import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Chunks of bodies that V8 may leave in memory before they are collected. */
const COLLECT_EVERY_BYTES = 12 * 1024 * 1024

type CollectGarbage = (options: { type: 'minor' }) => void

let collect: CollectGarbage | undefined
let bytesSinceCollection = 0

/**
 * Bounds the memory of transfers. Each chunk is a small object with a large buffer outside of V8's heap, and V8
 * lets 64 MiB and more of such buffers gather before it collects them. A collection of the young generation
 * takes about a millisecond; small requests never cause one by themselves.
 * @param bytes of a chunk that was passed on
 */
export function recordChunk(bytes: number): void {
  bytesSinceCollection += bytes
  if (bytesSinceCollection < COLLECT_EVERY_BYTES) return
  bytesSinceCollection = 0
  collect ??= findCollector()
  collect({ type: 'minor' })
}

/** V8's own function. Node offers no other way to collect the young generation. */
function findCollector(): CollectGarbage {
  setFlagsFromString('--expose-gc')
  const found: unknown = runInNewContext('typeof gc === "function" ? gc : null')
  setFlagsFromString('--no-expose-gc')
  return typeof found === 'function' ? (found as CollectGarbage) : () => undefined
}
