import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Millis, Store } from '../../db/store.ts'
import type { EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { lifeLeft, openStored } from './access-token.ts'
import type { AccessToken, TokenRequirement } from './access-token.ts'
import type { CircuitBreaker } from './circuit-breaker.ts'
import type { Random, SteadyClock } from '../runtime.ts'
import { backoff, isEllipsisError, pauseLeft, withRetries } from './failure-policy.ts'
import { LeaseLostError } from './lease.ts'
import type { Lease, Leases } from './lease.ts'
import type { RefreshOutcomes } from './refresh-outcome.ts'
import type { UpstreamHealth } from './upstream-health.ts'
import type { Usage } from '../connections/usage.ts'
import type { Vault } from '../crypto/vault.ts'

/**
 * Meets a need for one connection, from the store or by refreshing it, and answers with the token once
 * it is stored. `run.need` may widen until `run.called` is set. Only one runs at a time in a process;
 * the lease in the row holds off the others.
 */
export type RefreshAttempt = (
  connectionId: string,
  run: { requirement: TokenRequirement; called: boolean },
) => Promise<AccessToken>

/** Before a refusal is believed, it is asked for once more. Milliseconds. */
const CONFIRM_AFTER = 1000
/** How often the row is read while another process refreshes: some 25 s, at 25 to 250 ms. */
const POLLS = 130
/** A refreshed token is taken as it is for so long, while it lives, milliseconds. */
const FRESH = 10_000

export function createRefreshAttempt(needs: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  breaker: CircuitBreaker
  leases: Leases
  outcomes: RefreshOutcomes
  upstreamHealth: UpstreamHealth
  clock: SteadyClock
  random: Random
  usage: Pick<Usage, 'count'>
}): RefreshAttempt {
  const {
    store,
    vault,
    ellipsis,
    breaker,
    leases,
    outcomes,
    upstreamHealth,
    clock,
    random,
    usage,
  } = needs

  const read = async (id: string): Promise<Connection> => {
    const connection = await store.getConnection(id)
    if (connection && connection.status !== 'revoked') return connection
    throw new BrokerError('connection_revoked')
  }

  /**
   * The stored access token, if it meets the need, or was refreshed a moment ago: another one would hardly
   * be valid for longer, however long a validity is asked for.
   */
  const findStored = (connection: Connection, requirement: TokenRequirement, startedAt: Millis) => {
    const token = openStored(connection, vault)
    if (
      !token ||
      (requirement.fetchedAfter !== null && token.fetchedAt <= requirement.fetchedAfter)
    )
      return null
    const now = clock.now()
    const left = lifeLeft(token, now)
    const refreshed = (connection.refreshedAt ?? -Infinity) >= token.fetchedAt
    const fresh = token.fetchedAt >= startedAt || (refreshed && now - token.fetchedAt < FRESH)
    return (fresh && left > 0) || left >= requirement.minTtlSeconds * 1000 ? token : null
  }

  /** Leaves upstream alone where it would only refuse again. */
  const checkPause = (connection: Connection, requirement: TokenRequirement): void => {
    const wait = pauseLeft(connection, clock.now())
    if (wait > 0 && !requirement.evenIfPaused) {
      if (connection.status === 'needs_reconnect') throw new BrokerError('needs_reconnect')
      throw unavailable('the last refresh failed a moment ago', wait)
    }
    if (outcomes.isIncident()) throw new BrokerError('server_error')
    const who = { id: connection.id, failing: connection.failures > 0 }
    if (!breaker.admits(who)) throw unavailable('Ellipsis Drive is taken for down', 2000)
  }

  const call = (lease: Lease, refreshToken: Secret): Promise<Tokens> => {
    const before = () => lease.extend()
    const { id, failures } = lease.connection
    const ask = () => {
      lease.check()
      return ellipsis.refresh(refreshToken)
    }
    const refresh = () =>
      breaker.run({ id, failing: failures > 0 }, ask, before).catch((error: unknown) => {
        if (isEllipsisError(error) && error.maybeApplied) lease.doubt = 'answer_lost'
        throw error
      })
    // What failed before has its pauses between refreshes.
    return failures > 0 ? refresh() : withRetries(refresh, { clock, random, before })
  }

  /** Calls upstream with the current token; a refusal is asked for again, and at last the previous tried. */
  const refreshHeld = async (lease: Lease): Promise<AccessToken> => {
    const tries = triesOf(lease.connection, vault, upstreamHealth.othersWork(lease.connection.id))
    let failure = { error: new Error('a connection without a refresh token'), previous: false }
    for (const [index, { token, previous }] of tries.entries()) {
      if (index > 0) {
        await clock.sleep(CONFIRM_AFTER)
        await lease.extend()
      }
      const answer = await call(lease, token).catch((error: unknown) => error)
      if (!(answer instanceof Error)) return outcomes.keep(lease, token, answer as Tokens)
      if (answer instanceof LeaseLostError) throw answer
      if (isEllipsisError(answer) && answer.refreshToken) {
        return outcomes.keepRefreshToken(lease, token, answer, answer.refreshToken)
      }
      failure = { error: answer, previous }
      if (!isEllipsisError(answer) || answer.kind !== 'refused') break
    }
    return outcomes.fail(lease, failure.error, failure.previous)
  }

  /** `null`: another refreshes it, or came first. */
  const refresh = async (
    connection: Connection,
    run: { requirement: TokenRequirement; called: boolean },
  ): Promise<AccessToken | null> => {
    let lease: Lease | null = null
    try {
      lease = await leases.take(connection)
      if (!lease) return null
      run.called = true
      const token = await refreshHeld(lease)
      usage.count('refresh', run.requirement.appId, 'ok')
      return token
    } catch (error) {
      if (error instanceof LeaseLostError) return null
      // What ended in no way that was foreseen is left unfinished: whoever comes next is warned.
      if (lease && error instanceof BrokerError) await leases.free(lease)
      const outcome = error instanceof BrokerError ? error.code : 'server_error'
      if (lease) usage.count('refresh', run.requirement.appId, outcome)
      throw error
    }
  }

  return async (id, run) => {
    const startedAt = clock.now()
    for (let poll = 0; poll < POLLS; poll++) {
      const connection = await read(id)
      const stored = findStored(connection, run.requirement, startedAt)
      if (stored) return stored
      // One of another API of Ellipsis Drive has none: it is never called with.
      if (connection.refreshToken === null) throw new BrokerError('needs_reconnect')
      checkPause(connection, run.requirement)
      // Compared with the generation just read: had another process stored tokens since, it fails.
      const token = await refresh(connection, run)
      if (token) return token
      await clock.sleep(backoff(poll, 50, 250, random))
    }
    throw unavailable('another process holds the lease', 2000)
  }
}

const unavailable = (why: string, waitMilliseconds: number): BrokerError =>
  new BrokerError('temporarily_unavailable', {
    cause: new Error(why),
    retryAfter: Math.ceil(waitMilliseconds / 1000),
  })

/**
 * What to call upstream with, in turn, while it refuses. The previous token comes last, and only once
 * the refusal has stood for a while, and others were refreshed in it: to an upstream that rotates strictly
 * its use is theft, and would end a healthy family over a passing fault.
 */
function triesOf(
  connection: Connection,
  vault: Vault,
  othersWork: boolean,
): { token: Secret; previous: boolean }[] {
  const { id, refreshToken, previousRefreshToken, status } = connection
  /* c8 ignore next -- one without is never leased */
  if (!refreshToken) return []
  const token = vault.open(associatedData.refreshToken(id), refreshToken)
  const current = { token, previous: false }
  if (!previousRefreshToken || status !== 'needs_reconnect' || !othersWork) {
    return [current, current]
  }
  const before = vault.open(associatedData.previousRefreshToken(id), previousRefreshToken)
  return [current, current, { token: before, previous: true }]
}
