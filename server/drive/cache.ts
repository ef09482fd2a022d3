import type { IncomingHttpHeaders } from 'node:http'
import type { DriveAnswer, DriveRequest } from './forward.ts'

/** Answers of Ellipsis Drive that can be repeated. */
export interface DriveCache {
  fetch(
    connectionId: string,
    request: DriveRequest,
    upstream: (headers: IncomingHttpHeaders) => Promise<DriveAnswer>,
  ): Promise<DriveAnswer & { cached: 'hit' | 'revalidated' | 'miss' | 'bypass' }>
  forget(connectionId: string): Promise<void>
}

export const noCache: DriveCache = {
  async fetch(_connectionId, request, upstream) {
    return { ...(await upstream(request.headers)), cached: 'bypass' }
  },
  forget: async () => undefined,
}
