import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { DrivePath } from './path.ts'

/** A request of an app for the Ellipsis Drive API. */
export interface DriveRequest {
  method: string
  path: DrivePath
  headers: IncomingHttpHeaders
  body: Readable | null
  signal: AbortSignal
}

/** The answer to it. */
export interface DriveAnswer {
  status: number
  headers: Record<string, string | string[]>
  body: Readable | null
}
