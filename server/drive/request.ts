import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { DrivePath } from './path.ts'

/** A request to the Ellipsis Drive API. */
export interface DriveRequest {
  method: string
  path: DrivePath
  headers: IncomingHttpHeaders
  /** `null`: the request has no body. It is never destroyed here, so that an error can still be answered. */
  body: Readable | null
  /** Aborted when the client leaves. */
  signal: AbortSignal
}

/** An answer of the Ellipsis Drive API, with the headers that may be passed on. */
export interface DriveAnswer {
  status: number
  headers: Record<string, string | string[]>
  /** Read it or destroy it. */
  body: Readable | null
}
