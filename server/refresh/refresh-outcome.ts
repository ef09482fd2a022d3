import type { Connection, Failure, Store } from '../../db/store.ts'
import type { Tokens } from '../ellipsis/client.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { AccessToken } from './access-token.ts'
import { openStored } from './access-token.ts'
import type { Random, SteadyClock } from '../runtime.ts'
import { assessFailure, backoffMs, isOfOneConnection, upstreamError } from './failure-policy.ts'
import { LeaseLostError } from './lease.ts'
import type { Lease } from './lease.ts'
import type { Log } from '../log.ts'
import { sealRefreshed } from './unsaved-tokens.ts'
import type { RefreshedTokens, UnsavedTokens } from './unsaved-tokens.ts'
import type { UpstreamHealth } from './upstream-health.ts'
import type { Vault } from '../crypto/vault.ts'

/**
 * Result of a refresh, for counting. `answer_lost`: refused after an earlier answer was lost. `superseded`:
 * another process changed the connection first.
 */
export type RefreshResult =
  'ok' | 'recovered' | 'failed' | 'refused' | 'answer_lost' | 'misconfigured' | 'superseded'

/** Stores the result of a refresh. */
export interface RefreshOutcomes {
  /**
   * Stores new tokens. Retries until the store accepts them, because they exist nowhere else. After a second, they
   * also are in a file (see `UnsavedTokens`).
   * @throws LeaseLostError
   */
  saveTokens(lease: Lease, usedToken: Secret, tokens: Tokens): Promise<AccessToken>
  /**
   * Stores a refresh token that came without an access token, and keeps the stored access token. Always
   * throws the error for the app.
   * @throws BrokerError, LeaseLostError
   */
  saveRefreshToken(
    lease: Lease,
    usedToken: Secret,
    error: EllipsisError,
    refreshToken: Secret,
  ): Promise<never>
  /**
   * Records what a failure means. Always throws the error for the app.
   * @throws BrokerError, LeaseLostError
   */
  saveFailure(lease: Lease, error: Error, triedPrevious: boolean): Promise<never>
  /** Was the broker's own client refused a moment ago? Then no call is made. */
  isClientRefused(): boolean
}

/** Pause of all calls after the broker's own client was refused. */
const CLIENT_REFUSED_PAUSE_MS = 5000
/** `Retry-After` for a refusal that is not believed yet. */
const DISBELIEVED_RETRY_AFTER_SECONDS = 30
/** Longest pause between attempts to store tokens; short, so that they are stored soon after a fix. */
const MAX_SAVE_PAUSE_MS = 500
const FIRST_SAVE_PAUSE_MS = 100
const KEEP_AFTER_MS = 1000
/** Failed attempts to store tokens per log line. */
const SAVE_ATTEMPTS_PER_LOG_LINE = 20

export function createRefreshOutcomes(deps: {
  store: Store
  vault: Vault
  unsaved: Pick<UnsavedTokens, 'keep' | 'drop'>
  upstreamHealth: UpstreamHealth
  clock: SteadyClock
  random: Random
  log: Log
  refreshes: { inc(labels: { result: RefreshResult }): void }
}): RefreshOutcomes {
  const { store, vault, unsaved, upstreamHealth, clock, random, log, refreshes } = deps
  let clientRefusedUntil = -Infinity

  const count = (result: RefreshResult): void => refreshes.inc({ result })

  const countSuperseded = (): LeaseLostError => {
    count('superseded')
    return new LeaseLostError()
  }

  const retryUntilSaved = async (save: () => Promise<boolean>, id: string): Promise<boolean> => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await save()
      } catch (error) {
        if (attempt % SAVE_ATTEMPTS_PER_LOG_LINE === 0) {
          log.error(
            { err: error, connection: id },
            'refreshed tokens can’t be stored; trying again',
          )
        }
        await clock.sleep(backoffMs(attempt, FIRST_SAVE_PAUSE_MS, MAX_SAVE_PAUSE_MS, random))
      }
    }
  }

  /** Keeps what could not be saved within a second beside the database, until it is saved. */
  const keepUntilSaved = async <T>(
    connection: Connection,
    tokens: RefreshedTokens,
    saving: Promise<T>,
  ): Promise<T> => {
    const { id } = connection
    const attempt = (work: () => void): void => {
      try {
        work()
      } catch (error) {
        log.error(
          { err: error, connection: id },
          'refreshed tokens can’t be kept in the data directory',
        )
      }
    }
    const saved = new AbortController()
    let isKept = false
    void clock.sleep(KEEP_AFTER_MS, saved.signal).then(() => {
      if (saved.signal.aborted) return
      isKept = true
      attempt(() => unsaved.keep(connection, tokens))
    })
    try {
      return await saving
    } finally {
      saved.abort()
      if (isKept) attempt(() => unsaved.drop(connection))
    }
  }

  const save = async (
    { connection }: Lease,
    usedToken: Secret,
    tokens: Omit<Tokens, 'scope'>,
    failure: Failure | null = null,
  ): Promise<void> => {
    const refreshed = { ...tokens, usedToken, refreshToken: tokens.refreshToken ?? usedToken }
    const now = clock.now()
    // Sealed again for each attempt: the encryption keys may change meanwhile.
    const saving = retryUntilSaved(
      () => store.saveTokens(sealRefreshed(vault, connection, refreshed, now, failure)),
      connection.id,
    )
    const isSaved = await keepUntilSaved(connection, refreshed, saving)
    if (!isSaved) throw countSuperseded()
    const isRecovered = connection.status === 'needs_reconnect'
    count(failure ? 'failed' : isRecovered ? 'recovered' : 'ok')
  }

  /**
   * Pauses all calls if several connections met a refusal of the broker's own client, unless other connections
   * are refreshed. Marks no connection.
   */
  const noteClientRefused = (id: string): void => {
    if (upstreamHealth.othersSucceed(id) || !upstreamHealth.refusesClient()) return
    clientRefusedUntil = clock.steady() + CLIENT_REFUSED_PAUSE_MS
  }

  const assess = ({ connection, staleReason }: Lease, error: EllipsisError) =>
    assessFailure(
      error,
      { ...connection, staleReason },
      {
        othersSucceed: upstreamHealth.othersSucceed(connection.id),
        refusesAll: upstreamHealth.refusesAll(),
        now: clock.now(),
        random,
      },
    )

  return {
    async saveTokens(lease, usedToken, tokens) {
      await save(lease, usedToken, tokens)
      upstreamHealth.recordSuccess(lease.connection.id)
      const { accessToken: value, expiresAt, fetchedAt } = tokens
      return { value, expiresAt, fetchedAt, generation: lease.connection.generation + 1 }
    },

    async saveRefreshToken(lease, usedToken, error, refreshToken) {
      const stored = openStored(lease.connection, vault)
      const { value: accessToken = new Secret(''), expiresAt = 0, fetchedAt = 0 } = stored ?? {}
      const { lastError, retryAt } = assess(lease, error)
      const tokens = { accessToken, expiresAt, fetchedAt, refreshToken }
      await save(lease, usedToken, tokens, { lastError, retryAt })
      throw upstreamError(error)
    },

    async saveFailure(lease, error, triedPrevious) {
      if (!(error instanceof EllipsisError)) throw error
      const { connection, owner } = lease
      const { id, generation } = connection
      const { kind } = error
      const isExpected = kind === 'refused' && lease.staleReason !== null
      upstreamHealth.recordFailure(id, kind === 'transient' || isExpected ? 'other' : kind)
      const { grantRefused, ...assessment } = assess(lease, error)
      const needsReconnectNow =
        assessment.status === 'needs_reconnect' && connection.status === 'active'
      const event = {
        at: clock.now(),
        actor: 'system',
        action: 'connection.needs_reconnect',
        connectionId: id,
        details: assessment.lastError,
      }
      // What fails for every connection is one line in the log, see `UpstreamStatus`.
      if (isOfOneConnection(error))
        log.warn({ err: error, connection: id, status: assessment.status }, 'a refresh failed')
      const isSaved = await store.saveFailure({
        id,
        expectedGeneration: generation,
        owner,
        ...assessment,
        dropPrevious: triedPrevious && kind === 'refused',
        events: needsReconnectNow ? [event] : [],
      })
      if (!isSaved) throw countSuperseded()
      if (grantRefused) {
        count(assessment.staleReason ?? 'refused')
        throw new BrokerError('needs_reconnect', { cause: error })
      }
      count(kind === 'misconfigured' ? 'misconfigured' : 'failed')
      if (kind === 'misconfigured') noteClientRefused(id)
      if (kind !== 'refused') throw upstreamError(error)
      const retryAfter = DISBELIEVED_RETRY_AFTER_SECONDS
      const reason = 'upstream_refuses_all'
      throw new BrokerError('temporarily_unavailable', { cause: error, retryAfter, reason })
    },

    isClientRefused: () => clock.steady() < clientRefusedUntil,
  }
}
