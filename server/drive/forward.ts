import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { BrokerError } from '../errors.ts'
import { isAllowed } from '../oauth/access-policy.ts'
import type { LiveGrant } from '../oauth/token-status.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { DrivePath } from './path.ts'

/** On whose behalf a request is sent. */
export interface DriveCaller {
  live: LiveGrant
  /** Reads the state again. @throws BrokerError once the grant, app, connection or link has ended */
  check(): Promise<unknown>
}

/** A request to the Ellipsis Drive API. */
export interface DriveRequest {
  method: string
  path: DrivePath
  headers: IncomingHttpHeaders
  body: Readable | null
  signal: AbortSignal
}

export interface DriveAnswer {
  status: number
  headers: Record<string, string | string[]>
  body: Readable | null
}

export interface Drive {
  /** @throws BrokerError */
  forward(caller: DriveCaller, request: DriveRequest): Promise<DriveAnswer>
}

const SENT = ['range', 'if-none-match', 'if-modified-since', 'if-range', 'accept']
const PASSED = ['content-type', 'content-length', 'content-range', 'accept-ranges', 'etag']
const CACHING = ['last-modified', 'cache-control', 'vary', 'retry-after']

/** The smallest proxy that links need; to be replaced. */
export function createDrive(deps: {
  refresher: Refresher
  fetch: typeof fetch
  apiUrl: string
  minTtlSeconds: number
}): Drive {
  return {
    async forward({ live }, { method, path, headers, signal }) {
      const { app, grant, connection } = live
      if (!isAllowed({ app, granted: grant.policy }, method, path))
        throw new BrokerError('insufficient_scope')
      const { minTtlSeconds } = deps
      const requirement = { minTtlSeconds, fetchedAfter: null, evenIfPaused: false, appId: app.id }
      const token = await deps.refresher.get(connection.id, requirement)
      const sent = SENT.flatMap((name): [string, string][] => {
        const value = headers[name]
        return typeof value === 'string' ? [[name, value]] : []
      })
      const authorization = `Bearer ${token.value.reveal()}`
      try {
        const answer = await deps.fetch(deps.apiUrl + path.path + path.query, {
          ...{ method, signal, redirect: 'manual' },
          headers: { ...Object.fromEntries(sent), authorization, 'accept-encoding': 'identity' },
        })
        const passed = [...PASSED, ...CACHING].flatMap((name): [string, string][] => {
          const value = answer.headers.get(name)
          return value === null ? [] : [[name, value]]
        })
        const body = answer.body && Readable.fromWeb(answer.body as ReadableStream)
        const entries: Record<string, string> = Object.fromEntries(passed)
        return { status: answer.status, headers: entries, body }
      } catch (error) {
        const details = { cause: error, retryAfter: 5, reason: 'drive_no_answer' }
        throw new BrokerError('temporarily_unavailable', details)
      }
    },
  }
}
