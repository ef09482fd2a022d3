import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { EllipsisError, isOutage } from '../ellipsis/errors.ts'
import type { DriveClient, DriveResponse } from '../ellipsis/drive-client.ts'
import { BrokerError, publicError } from '../errors.ts'
import type { DriveMetrics } from '../metrics/drive.ts'
import { isAllowed } from '../oauth/access-policy.ts'
import type { LiveGrant } from '../oauth/token-status.ts'
import type { AccessToken } from '../refresh/access-token.ts'
import type { CircuitBreaker } from '../refresh/circuit-breaker.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { Usage } from '../connections/usage.ts'
import type { DriveBudget } from './budget.ts'
import type { DriveCache } from './cache.ts'
import { answerHeaders, locationInApi, requestHeaders } from './headers.ts'
import { recordChunk } from './garbage.ts'
import type { DriveAnswer, DriveRequest } from './request.ts'
import type { Transfers } from './transfers.ts'

/** On whose behalf a request is sent. */
export interface DriveCaller {
  live: LiveGrant
  /** Reads the state again. @throws BrokerError once the grant, app, connection or link has ended */
  check(): Promise<LiveGrant>
}

/** Sends requests to the Ellipsis Drive API with the access token of a connection. */
export interface Drive {
  /**
   * Streams both ways. Ends the transfer, also its answer's body, once `caller.check` throws.
   * @throws BrokerError `slow_down`, `insufficient_scope` (the policy), what a swap throws, `invalid_request`
   *   (body over the limit), `temporarily_unavailable` (no answer), `server_error` (a redirect elsewhere)
   */
  forward(caller: DriveCaller, request: DriveRequest): Promise<DriveAnswer>
}

/** Methods that can be sent again after a 401. */
const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'

export function createDrive(deps: {
  client: DriveClient
  refresher: Refresher
  usage: Usage
  /** Of its own: tiles that load must not hide that the token endpoint fails. */
  breaker: CircuitBreaker
  cache: DriveCache
  budget: DriveBudget
  transfers: Transfers
  metrics: DriveMetrics
  apiUrl: string
  minTtlSeconds: number
  uploadLimitBytes: number
}): Drive {
  const { client, refresher, usage, breaker, cache, budget, transfers, metrics, apiUrl } = deps

  /** The access token for a request, as in a swap. */
  const getToken = async ({ live, check }: DriveCaller): Promise<AccessToken> => {
    const { minTtlSeconds } = deps
    const appId = live.app.id
    const requirement = { minTtlSeconds, fetchedAfter: null, evenIfPaused: false, appId }
    const cached = refresher.findCached(live.connection, requirement)
    if (cached) return cached
    const token = await refresher.get(live.connection.id, requirement)
    // A revocation holds from the moment of its commit.
    await check()
    return token
  }

  /**
   * A newer token than the one that Ellipsis Drive refused; `null`: a refresh was forced a moment ago, so the
   * refusal is not the token's fault.
   */
  const replaceToken = async (
    { live, check }: DriveCaller,
    { fetchedAt: fetchedAfter }: AccessToken,
  ): Promise<AccessToken | null> => {
    const { id } = live.connection
    const requirement = { minTtlSeconds: 0, evenIfPaused: false, appId: live.app.id }
    const cached = refresher.inspectCache(id)
    const isCachedNewer = cached !== undefined && cached.fetchedAt > fetchedAfter
    const current = isCachedNewer
      ? cached
      : await refresher.get(id, { ...requirement, fetchedAfter }).catch((error: unknown) => {
          if (!(error instanceof BrokerError && error.code === 'slow_down')) throw error
          // Joins the forced refresh, if it is not done yet.
          return refresher.get(id, { ...requirement, fetchedAfter: null })
        })
    await check()
    return current.fetchedAt > fetchedAfter ? current : null
  }

  const send = async (
    caller: DriveCaller,
    request: DriveRequest,
    headers: IncomingHttpHeaders,
    token: AccessToken,
    signal: AbortSignal,
  ): Promise<DriveResponse> => {
    const { method, path } = request
    const body = request.body && limitBody(request.body, deps)
    const breakerCaller = { connectionId: caller.live.connection.id, failing: false }
    let outage: DriveResponse | null = null
    try {
      return await breaker.run(breakerCaller, async () => {
        const response = await client.request({
          ...{ method, path: path.path + path.query, headers: requestHeaders(headers) },
          ...{ accessToken: token.value, body, signal },
        })
        const { status } = response
        if (!isOutage(status)) return response
        outage = response
        throw new EllipsisError(`status ${status}`, {
          kind: 'transient',
          status,
          maybeApplied: !isSafe(method),
        })
      })
    } catch (error) {
      // Its body may say more than the broker knows.
      if (outage) return outage
      if (error instanceof TypeError) throw malformed(error)
      throw error instanceof EllipsisError ? noAnswer(error) : error
    }
  }

  /** Sends the request; replaces a refused token once. */
  const sendWithToken = async (
    caller: DriveCaller,
    request: DriveRequest,
    headers: IncomingHttpHeaders,
    signal: AbortSignal,
  ): Promise<DriveAnswer> => {
    const token = await getToken(caller)
    const response = await send(caller, request, headers, token, signal)
    if (response.status !== 401) return toAnswer(response, request)
    try {
      const newer = await replaceToken(caller, token)
      // Part of a body may be gone, and what is not safe may have had an effect.
      if (newer === null || !isSafe(request.method)) return toAnswer(response, request)
      discard(response.body)
      return toAnswer(await send(caller, request, headers, newer, signal), request)
    } catch (error) {
      discard(response.body)
      throw error
    }
  }

  const toAnswer = (response: DriveResponse, { method, path }: DriveRequest): DriveAnswer => {
    const { status, body } = response
    const headers = answerHeaders(response.headers)
    const location = headers.location
    if (location !== undefined) {
      const target = locationInApi(String(location), apiUrl + path.path, apiUrl)
      if (target !== null) headers.location = target
      else {
        delete headers.location
        if (status >= 300 && status < 400) {
          discard(body)
          throw redirectElsewhere()
        }
      }
    }
    const isEmpty = method === 'HEAD' || status === 204 || status === 304
    if (isEmpty) discard(body)
    return { status, headers, body: isEmpty ? null : body }
  }

  return {
    async forward({ live, check }, request) {
      const { app, grant, connection } = live
      // A narrower policy holds from the moment of its commit, as a revocation does.
      const checkNow = async (): Promise<LiveGrant> => {
        const current = await check()
        checkPolicy(current, request)
        return current
      }
      const caller = { live, check: checkNow }
      const transfer = transfers.begin(checkNow, request.signal)
      try {
        checkPolicy(live, request)
        // The user may have ended the access at Ellipsis Drive: then no copies are given, either.
        if (connection.status === 'needs_reconnect') await getToken(caller)
        const { signal } = transfer
        const answer = await cache.fetch(connection.id, { ...request, signal }, (headers) => {
          // Answers from the cache cost nothing.
          budget.take(app, connection.id)
          return sendWithToken(caller, request, headers, signal)
        })
        usage.touch(grant.id)
        usage.count('drive', app.id, answer.status < 500 ? 'ok' : 'upstream_error')
        metrics.count(`${Math.floor(answer.status / 100)}xx`)
        if (answer.body === null) transfer.end()
        else answer.body.once('close', () => transfer.end())
        return answer
      } catch (error) {
        transfer.end()
        // A client that left has no answer to count.
        if (!request.signal.aborted) {
          usage.count('drive', app.id, outcomeOf(error))
          metrics.count(
            error instanceof BrokerError ? publicError(error).body.error : 'server_error',
          )
        }
        throw error
      }
    },
  }
}

const outcomeOf = (error: unknown): string =>
  error instanceof BrokerError ? error.code : 'server_error'

/** Frees the connection: a body that nobody reads would hold it. */
function discard(body: Readable): void {
  body.on('error', () => undefined)
  body.destroy()
}

/**
 * The chunks of a request's body, up to the limit. Does not destroy the request when reading ends early: its
 * connection carries the answer.
 */
async function* limitBody(
  body: Readable,
  { uploadLimitBytes, metrics }: { uploadLimitBytes: number; metrics: DriveMetrics },
): AsyncGenerator<Buffer> {
  let length = 0
  for await (const each of body.iterator({ destroyOnReturn: false })) {
    const chunk = each as Buffer
    length += chunk.length
    if (length > uploadLimitBytes) throw bodyTooLarge(uploadLimitBytes)
    metrics.addBytes('upload', chunk.length)
    recordChunk(chunk.length)
    yield chunk
  }
}

/** The error of a request body over the limit. */
export const bodyTooLarge = (limitBytes: number): BrokerError =>
  new BrokerError('invalid_request', {
    description: `The request body is too large. Send ${limitBytes} bytes at most.`,
    status: 413,
    isGuess: false,
    reason: 'drive_body_too_large',
  })

const malformed = (cause: TypeError): BrokerError =>
  new BrokerError('invalid_request', { cause, isGuess: false, reason: 'drive_request_malformed' })

/** @throws BrokerError `insufficient_scope` if the policy of the app, or of the grant, forbids the request */
function checkPolicy({ app, grant }: LiveGrant, { method, path }: DriveRequest): void {
  if (isAllowed({ app, granted: grant.policy }, method, path)) return
  throw new BrokerError('insufficient_scope', {
    description:
      'The access policy of this app, or what its user allowed, does not include this request.',
    reason: 'drive_request_not_allowed',
    isGuess: false,
  })
}

const noAnswer = (cause: EllipsisError): BrokerError =>
  new BrokerError('temporarily_unavailable', {
    cause,
    retryAfter: Math.ceil((cause.retryAfterMs ?? 2000) / 1000),
    reason: 'drive_no_answer',
  })

const redirectElsewhere = (): BrokerError =>
  new BrokerError('server_error', {
    description:
      'Ellipsis Drive redirects this request to another site, where the broker sends nothing.',
    status: 502,
    reason: 'drive_redirect_elsewhere',
  })
