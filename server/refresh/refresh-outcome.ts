import { associatedData } from '../../db/associated-data.ts'
import type { Failure, Store } from '../../db/store.ts'
import type { EllipsisError, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { AccessToken } from './access-token.ts'
import { openStored } from './access-token.ts'
import type { Random, SteadyClock } from '../runtime.ts'
import { backoff, isEllipsisError, judge, upstreamError } from './failure-policy.ts'
import { LeaseLostError } from './lease.ts'
import type { Lease } from './lease.ts'
import type { Log } from '../log.ts'
import type { UpstreamHealth } from './upstream-health.ts'
import type { Vault } from '../crypto/vault.ts'

/**
 * How a refresh ended, for counting. `answer_lost`: refused, and an earlier answer had been lost.
 * `superseded`: another writer came first.
 */
export type RefreshResult =
  'ok' | 'recovered' | 'failed' | 'refused' | 'answer_lost' | 'misconfigured' | 'superseded'

/** Writes down how a refresh ended. */
export interface RefreshOutcomes {
  /** Stores what upstream gave, however long that takes: it exists nowhere else. @throws LostLease */
  keep(lease: Lease, used: Secret, tokens: Tokens): Promise<AccessToken>
  /**
   * Stores a refresh token that came without an access token; that one stays what it was. Throws what the
   * app is told. @throws BrokerError, LostLease
   */
  keepRefreshToken(
    lease: Lease,
    used: Secret,
    error: EllipsisError,
    refreshToken: Secret,
  ): Promise<never>
  /** Records what a failure means, and throws what the app is told. @throws BrokerError, LostLease */
  fail(lease: Lease, error: Error, triedPrevious: boolean): Promise<never>
  /** After the broker's own client was refused, Ellipsis Drive is left alone for a while. */
  isIncident(): boolean
}

/** After the broker's own client was refused, Ellipsis Drive is left alone for this long, milliseconds. */
const INCIDENT = 5000
/** When to ask again after a refusal that isn't believed, seconds. */
const DISBELIEVED = 30
/** Longest pause between two tries to store, milliseconds: whoever frees the disk is not kept waiting. */
const SAVE_AGAIN = 500

export function createRefreshOutcomes(needs: {
  store: Store
  vault: Vault
  upstreamHealth: UpstreamHealth
  clock: SteadyClock
  random: Random
  log: Log
  refreshes: { inc(labels: { result: RefreshResult }): void }
}): RefreshOutcomes {
  const { store, vault, upstreamHealth, clock, random, log, refreshes } = needs
  let incidentUntil = -Infinity

  const count = (result: RefreshResult): void => refreshes.inc({ result })

  const lost = (): LeaseLostError => {
    count('superseded')
    return new LeaseLostError()
  }

  const saveForSure = async (save: () => Promise<boolean>, id: string): Promise<boolean> => {
    let attempt = 0
    for (;;) {
      try {
        return await save()
      } catch (error) {
        if (attempt % 20 === 0) {
          log.error(
            { err: error, connection: id },
            'refreshed tokens can’t be stored; trying again',
          )
        }
        await clock.sleep(backoff(attempt++, 100, SAVE_AGAIN, random))
      }
    }
  }

  const seal = (id: string, tokens: Omit<Tokens, 'scope'>, refreshToken: Secret) => ({
    refreshToken: vault.seal(associatedData.refreshToken(id), refreshToken),
    accessToken: vault.seal(associatedData.accessToken(id), tokens.accessToken),
    accessTokenExpiresAt: tokens.expiresAt,
    accessTokenFetchedAt: tokens.fetchedAt,
  })

  const save = async (
    lease: Lease,
    used: Secret,
    tokens: Omit<Tokens, 'scope'>,
    failure: Failure | null = null,
  ): Promise<void> => {
    const { id, generation, status } = lease.connection
    const refreshToken = tokens.refreshToken ?? used
    const rotated = refreshToken.reveal() !== used.reveal()
    const recovered = status === 'needs_reconnect'
    const now = clock.now()
    const event = { at: now, actor: 'system', action: 'connection.recovered', connectionId: id }
    // Sealed anew at each try: the encryption keys may change while a write can't be made.
    const refreshed = () => ({
      id,
      expectedGeneration: generation,
      tokens: seal(id, tokens, refreshToken),
      previousRefreshToken: rotated
        ? vault.seal(associatedData.previousRefreshToken(id), used)
        : null,
      failure,
      now,
      events: recovered ? [event] : [],
    })
    if (!(await saveForSure(() => store.saveTokens(refreshed()), id))) throw lost()
    count(failure ? 'failed' : recovered ? 'recovered' : 'ok')
  }

  /** One loud incident, unless others work; seen with several, it leaves Ellipsis Drive alone. None is marked. */
  const noteIncident = (id: string, error: EllipsisError): void => {
    if (upstreamHealth.othersWork(id)) return
    if (upstreamHealth.refusesClient()) incidentUntil = clock.steady() + INCIDENT
    const message =
      'Ellipsis Drive refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'
    log.error({ err: error }, message)
  }

  const judgeNow = ({ connection, doubt }: Lease, error: EllipsisError) => {
    const context = {
      othersWork: upstreamHealth.othersWork(connection.id),
      refusesAll: upstreamHealth.refusesAll(),
      now: clock.now(),
      random,
    }
    return judge(error, { ...connection, doubt }, context)
  }

  return {
    async keep(lease, used, tokens) {
      await save(lease, used, tokens)
      upstreamHealth.succeeded(lease.connection.id)
      const { accessToken: value, expiresAt, fetchedAt } = tokens
      return { value, expiresAt, fetchedAt, generation: lease.connection.generation + 1 }
    },

    async keepRefreshToken(lease, used, error, refreshToken) {
      const old = openStored(lease.connection, vault)
      const { value: accessToken = new Secret(''), expiresAt = 0, fetchedAt = 0 } = old ?? {}
      const { lastError, retryAt } = judgeNow(lease, error)
      const tokens = { accessToken, expiresAt, fetchedAt, refreshToken }
      await save(lease, used, tokens, { lastError, retryAt })
      throw upstreamError(error)
    },

    async fail(lease, error, triedPrevious) {
      if (!isEllipsisError(error)) throw error
      const { connection, owner } = lease
      const { id, generation, status } = connection
      const expected = error.kind === 'refused' && lease.doubt !== null
      upstreamHealth.failed(id, error.kind === 'transient' || expected ? 'otherwise' : error.kind)
      const { refused, ...verdict } = judgeNow(lease, error)
      const at = clock.now()
      const fallen = verdict.status === 'needs_reconnect' && status === 'active'
      const event = { at, actor: 'system', action: 'connection.needs_reconnect', connectionId: id }
      log.warn({ err: error, connection: id, status: verdict.status }, 'a refresh failed')
      const saved = await store.saveFailure({
        id,
        expectedGeneration: generation,
        owner,
        ...verdict,
        dropPrevious: triedPrevious && error.kind === 'refused',
        events: fallen ? [{ ...event, details: verdict.lastError }] : [],
      })
      if (!saved) throw lost()
      if (refused) {
        count(verdict.doubt ?? 'refused')
        throw new BrokerError('needs_reconnect', { cause: error })
      }
      count(error.kind === 'misconfigured' ? 'misconfigured' : 'failed')
      if (error.kind === 'misconfigured') noteIncident(id, error)
      if (error.kind !== 'refused') throw upstreamError(error)
      throw new BrokerError('temporarily_unavailable', { cause: error, retryAfter: DISBELIEVED })
    },

    isIncident: () => clock.steady() < incidentUntil,
  }
}
