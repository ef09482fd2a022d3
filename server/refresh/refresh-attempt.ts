import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Millis, Store } from '../../db/store.ts'
import type { EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { openStored, remainingLifetimeMs } from './access-token.ts'
import type { AccessToken, TokenRequirement } from './access-token.ts'
import type { CircuitBreaker } from './circuit-breaker.ts'
import type { Random, SteadyClock } from '../runtime.ts'
import { backoffMs, clientRefused, remainingPauseMs, withRetries } from './failure-policy.ts'
import { LeaseLostError } from './lease.ts'
import type { Lease, Leases } from './lease.ts'
import type { RefreshPace } from './refresh-pace.ts'
import type { RefreshOutcomes } from './refresh-outcome.ts'
import type { UnsavedTokens } from './unsaved-tokens.ts'
import type { UpstreamHealth } from './upstream-health.ts'
import type { Usage } from '../connections/usage.ts'
import type { Vault } from '../crypto/vault.ts'

/** A request for an access token that several callers may share. */
export interface RefreshRequest {
  /** May be widened until `callStarted` is set. */
  requirement: TokenRequirement
  /** Has the upstream call begun? Then its token may be too old for a forced refresh. */
  callStarted: boolean
}

/**
 * Returns an access token that satisfies the requirement, from the store or by a refresh; a refreshed token is
 * stored first. Run one attempt per connection and process at a time; the lease holds off other processes.
 */
export type RefreshAttempt = (connectionId: string, request: RefreshRequest) => Promise<AccessToken>

/** Wait before a refused refresh is tried a second time, to confirm the refusal. */
const CONFIRMATION_DELAY_MS = 1000
/** How often the row is read while another process refreshes: for about 25 s, every 25 to 250 ms. */
const MAX_POLLS = 130
/** A refreshed token is returned without another refresh for this long, until it expires. */
const FRESH_TOKEN_MS = 10_000
/** A connection whose access token had expired when it came is refreshed once in this time. */
const EXPIRED_TOKEN_INTERVAL_MS = 1000

export function createRefreshAttempt(deps: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  breaker: CircuitBreaker
  leases: Leases
  outcomes: RefreshOutcomes
  unsaved: Pick<UnsavedTokens, 'restore'>
  upstreamHealth: UpstreamHealth
  clock: SteadyClock
  random: Random
  usage: Pick<Usage, 'count'>
  pace: RefreshPace
}): RefreshAttempt {
  const { store, vault, ellipsis, breaker, leases, outcomes, unsaved, upstreamHealth } = deps
  const { clock, random, usage, pace } = deps

  const readConnection = async (id: string): Promise<Connection> => {
    const connection = await store.getConnection(id)
    if (connection && connection.status !== 'revoked') return connection
    throw new BrokerError('connection_revoked')
  }

  /**
   * The stored access token, if it satisfies the requirement or was just refreshed. Another refresh would
   * hardly bring a longer lifetime.
   */
  const findStored = (
    connection: Connection,
    requirement: TokenRequirement,
    startedAt: Millis,
  ): AccessToken | null => {
    const { accessTokenExpiresAt: expiresAt, accessTokenFetchedAt: fetchedAt } = connection
    const { fetchedAfter, minTtlSeconds } = requirement
    if (expiresAt === null || fetchedAt === null) return null
    if (fetchedAfter !== null && fetchedAt <= fetchedAfter) return null
    const now = clock.now()
    const remainingMs = remainingLifetimeMs({ expiresAt, fetchedAt }, now)
    const isRefreshed = (connection.refreshedAt ?? -Infinity) >= fetchedAt
    const isFresh = fetchedAt >= startedAt || (isRefreshed && now - fetchedAt < FRESH_TOKEN_MS)
    if (remainingMs <= 0 || (!isFresh && remainingMs < minTtlSeconds * 1000)) return null
    return openStored(connection, vault)
  }

  /** Throws if a call now would only fail again, or bring one more token that has expired at once. */
  const checkPause = (connection: Connection, requirement: TokenRequirement): void => {
    if (requirement.fetchedAfter === null && !requirement.evenIfPaused) checkLifetime(connection)
    const pauseMs = remainingPauseMs(connection, clock.now())
    if (pauseMs > 0 && !requirement.evenIfPaused) {
      if (connection.status === 'needs_reconnect') throw new BrokerError('needs_reconnect')
      throw unavailable(
        'connection_paused',
        'the connection is paused after a failed refresh',
        pauseMs,
      )
    }
    if (outcomes.isClientRefused()) throw clientRefused(new Error(CLIENT_PAUSED))
    if (!breaker.allows(toCaller(connection))) {
      throw unavailable('upstream_unavailable', 'Ellipsis Drive is considered down', 2000)
    }
  }

  const checkLifetime = (connection: Connection): void => {
    const { accessTokenExpiresAt: expiresAt, accessTokenFetchedAt: fetchedAt } = connection
    const { refreshedAt } = connection
    if (expiresAt === null || fetchedAt === null || refreshedAt === null) return
    const ageMs = clock.now() - refreshedAt
    const isOld = ageMs < 0 || ageMs >= EXPIRED_TOKEN_INTERVAL_MS
    if (expiresAt > fetchedAt || refreshedAt < fetchedAt || isOld) return
    const description =
      'Ellipsis Drive sends access tokens that have already expired. Try again later; if it happens again, tell the host of this broker.'
    const cause = new Error('the access token that was just fetched had expired at once')
    throw new BrokerError('temporarily_unavailable', {
      ...{ description, cause, retryAfter: 1 },
      reason: 'upstream_sends_expired_tokens',
    })
  }

  const callUpstream = (lease: Lease, refreshToken: Secret): Promise<Tokens> => {
    const extendLease = () => lease.extend()
    const call = () => {
      lease.assertOutlastsCall()
      return ellipsis.refresh(refreshToken)
    }
    const callOnce = () =>
      breaker.run(toCaller(lease.connection), call, extendLease).catch((error: unknown) => {
        if (error instanceof EllipsisError && error.maybeApplied) lease.staleReason = 'answer_lost'
        throw error
      })
    // A connection that failed before pauses between refreshes instead.
    return lease.connection.failures > 0
      ? callOnce()
      : withRetries(callOnce, { clock, random, beforeRetry: extendLease })
  }

  /** Calls upstream with the current token; if it is refused, once more, then with the previous token. */
  const refreshUnderLease = async (lease: Lease): Promise<AccessToken> => {
    const { connection } = lease
    const candidates = listCandidates(
      connection,
      vault,
      upstreamHealth.othersSucceed(connection.id),
    )
    let failure = { error: new Error('the connection has no refresh token'), isPrevious: false }
    for (const [index, { token, isPrevious }] of candidates.entries()) {
      if (index > 0) {
        await clock.sleep(CONFIRMATION_DELAY_MS)
        await lease.extend()
      }
      const result = await callUpstream(lease, token).catch((error: unknown) => error)
      if (!(result instanceof Error)) return outcomes.saveTokens(lease, token, result as Tokens)
      if (result instanceof LeaseLostError) throw result
      if (result instanceof EllipsisError && result.refreshToken) {
        return outcomes.saveRefreshToken(lease, token, result, result.refreshToken)
      }
      failure = { error: result, isPrevious }
      if (!(result instanceof EllipsisError) || result.kind !== 'refused') break
    }
    return outcomes.saveFailure(lease, failure.error, failure.isPrevious)
  }

  /** `null`: another process refreshes the connection, or has changed it. */
  const refresh = async (
    connection: Connection,
    request: RefreshRequest,
  ): Promise<AccessToken | null> => {
    let lease: Lease | null = null
    try {
      lease = await leases.acquire(connection)
      if (!lease) return null
      // The process that left the lease behind may have kept the answer.
      if (lease.staleReason !== null && (await unsaved.restore(lease.connection))) return null
      request.callStarted = true
      const token = await refreshUnderLease(lease)
      usage.count('refresh', request.requirement.appId, 'ok')
      return token
    } catch (error) {
      if (error instanceof LeaseLostError) return null
      // The lease stays after an unexpected error, and after an answer was lost that the store does not know of (no
      // further call was allowed, so no failure was saved): the next owner learns that an answer may be lost.
      const isRecorded = lease?.staleReason === lease?.connection.staleReason
      if (lease && isRecorded && error instanceof BrokerError) await leases.release(lease)
      const outcome = error instanceof BrokerError ? error.code : 'server_error'
      if (lease) usage.count('refresh', request.requirement.appId, outcome)
      throw error
    } finally {
      if (lease) leases.end(lease)
    }
  }

  return async (id, request) => {
    const startedAt = clock.now()
    let hasTurn = false
    for (let poll = 0; poll < MAX_POLLS; poll++) {
      const connection = await readConnection(id)
      const stored = findStored(connection, request.requirement, startedAt)
      if (stored) return stored
      // A connection to another API of Ellipsis Drive has no refresh token, and is never called for.
      if (connection.refreshToken === null) throw new BrokerError('needs_reconnect')
      checkPause(connection, request.requirement)
      if (request.requirement.isPaced === true && !hasTurn) {
        hasTurn = true
        // Somebody for whom it need not wait may join meanwhile.
        await pace.wait(() => request.requirement.isPaced !== true)
        continue
      }
      // Fails if another process has stored tokens since the row was read: the generation has changed.
      const token = await refresh(connection, request)
      if (token) return token
      await clock.sleep(backoffMs(poll, 50, 250, random))
    }
    throw unavailable('refresh_in_progress', 'another process holds the lease', 2000)
  }
}

const toCaller = ({ id, failures }: Connection) => ({ connectionId: id, failing: failures > 0 })

const unavailable = (reason: string, cause: string, waitMs: number): BrokerError =>
  new BrokerError('temporarily_unavailable', {
    reason,
    cause: new Error(cause),
    retryAfter: Math.ceil(waitMs / 1000),
  })

/**
 * The refresh tokens to call upstream with, in order, while it refuses them. The previous token comes last,
 * and only if the refusal has lasted and other connections were refreshed meanwhile: an upstream with strict
 * rotation treats its use as theft, and would revoke a healthy grant because of a transient fault.
 */
function listCandidates(
  connection: Connection,
  vault: Vault,
  othersSucceed: boolean,
): { token: Secret; isPrevious: boolean }[] {
  const { id, refreshToken, previousRefreshToken, status } = connection
  /* c8 ignore next -- a connection without a refresh token gets no lease */
  if (!refreshToken) return []
  const token = vault.open(associatedData.refreshToken(id), refreshToken)
  const current = { token, isPrevious: false }
  if (!previousRefreshToken || status !== 'needs_reconnect' || !othersSucceed) {
    return [current, current]
  }
  const previous = vault.open(associatedData.previousRefreshToken(id), previousRefreshToken)
  return [current, current, { token: previous, isPrevious: true }]
}

const CLIENT_PAUSED =
  'Ellipsis Drive refused the broker’s own client a moment ago; check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'
