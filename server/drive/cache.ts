import type { IncomingHttpHeaders } from 'node:http'
import type { DriveAnswer, DriveRequest } from './request.ts'

/**
 * `hit`: from the cache; `revalidated`: from the cache, after Ellipsis Drive said that it has not changed; `miss`:
 * from Ellipsis Drive; `bypass`: the same, for a request that the cache does not answer.
 */
export type CacheResult = 'hit' | 'revalidated' | 'miss' | 'bypass'

/** Keeps answers of Ellipsis Drive on disk, for each connection by itself (RFC 9111). */
export interface DriveCache {
  /**
   * Answers a request from the cache, or with `upstream`, which may be called with other headers than the request's.
   * The caller has checked that the grant, the app and the connection are valid, and that the app may ask this.
   * The caller must read the answer's body, or destroy it.
   * @throws as `upstream`
   */
  fetch(
    connectionId: string,
    request: DriveRequest,
    upstream: (headers: IncomingHttpHeaders) => Promise<DriveAnswer>,
  ): Promise<DriveAnswer & { cached: CacheResult }>
  /** Deletes everything of a connection. */
  forget(connectionId: string): Promise<void>
  /** Creates the directory, and begins to read it. @throws Error with a message for the operator */
  open(): Promise<void>
  /** Deletes what belongs to connections that have ended, also when another process ended them. */
  sweep(isLive: (connectionId: string) => Promise<boolean>): Promise<void>
  /** Bytes on disk. */
  size(): number
  /** Resolves when all answers that were passed on are stored. */
  settled(): Promise<void>
}

/** Counts what the cache saves. */
export interface CacheCounters {
  request(result: CacheResult): void
  /** Bytes of a body that came from the disk. */
  served(bytes: number): void
  evicted(): void
}

/** Where the cache is, and its size in bytes. */
export interface CacheSettings {
  directory: string
  maxBytes: number
}

/** No cache: every request goes to Ellipsis Drive. */
export const createNoCache = (counters: Pick<CacheCounters, 'request'>): DriveCache => ({
  async fetch(_connectionId, request, upstream) {
    const answer = await upstream(request.headers)
    counters.request('bypass')
    return { ...answer, cached: 'bypass' }
  },
  forget: async () => undefined,
  open: async () => undefined,
  sweep: async () => undefined,
  size: () => 0,
  settled: async () => undefined,
})
