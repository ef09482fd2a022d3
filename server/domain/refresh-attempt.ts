import type { Connection, Millis, Store } from '../../db/store.ts'
import type { EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Breaker } from './breaker.ts'
import type { Clock, Random } from './clock.ts'
import { backoff, isEllipsisError, judge, upstreamError, withRetries } from './failure.ts'
import type { Log } from './log.ts'
import type { Usage } from './usage.ts'
import type { Vault } from './vault.ts'

/** An access token of Ellipsis Drive's, opened. */
export interface AccessToken {
  value: Secret
  expiresAt: Millis
  /** When the call that brought it began. */
  fetchedAt: Millis
  generation: number
}

/** What an access token must be. */
export interface Need {
  /** Validity that it must have left, seconds. One that was refreshed for this need always has enough. */
  minTtlSeconds: number
  /** Forced: it must have been fetched at or after this time. */
  since: Millis | null
  /** An admin asks: try also a connection that is left alone for a while after failures. */
  evenIfPaused: boolean
  /** The app that asks, for counting; `null`: an admin. */
  appId: string | null
}

/**
 * Meets a need for one connection, from the store or by refreshing it, and answers with the token once
 * it is stored. `run.need` may widen until `run.called` is set. Only one runs at a time in a process;
 * the lease in the row holds off the others.
 */
export type RefreshAttempt = (
  connectionId: string,
  run: { need: Need; called: boolean },
) => Promise<AccessToken>

/** Bounds in milliseconds. The lease outlasts a call, which the Ellipsis client ends after 20 s. */
const LEASE = 30_000
/** Before a refusal is believed, it is asked for once more. */
const CONFIRM_AFTER = 1000
/** A pause that ends further ahead than any that is made counts as ended: the clock has jumped. */
const LONGEST_PAUSE = 27 * 60 * 60_000
/** How often the row is read while another process refreshes: some 25 s, at 25 to 250 ms. */
const POLLS = 130
/** After the broker's own client was refused, Ellipsis Drive is left alone for this long. */
const INCIDENT = 5000
/** Refreshes within this time show that upstream and the broker's client are well. */
const LATELY = 10 * 60_000

/** The right to refresh that this run holds. */
interface Lease {
  connection: Connection
  owner: string
}

export function createRefreshAttempt(needs: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  breaker: Breaker
  clock: Clock
  random: Random
  log: Log
  usage: Pick<Usage, 'count'>
}): RefreshAttempt {
  const { store, vault, ellipsis, breaker, clock, random, log, usage } = needs
  let incidentUntil = 0
  let succeededAt = -Infinity

  const read = async (id: string): Promise<Connection> => {
    const connection = await store.getConnection(id)
    if (connection && connection.status !== 'revoked') return connection
    throw new BrokerError('connection_revoked')
  }

  /** The stored access token, if it meets the need, or was fetched while this run waited for it. */
  const findStored = (connection: Connection, need: Need, startedAt: Millis) => {
    const token = openStored(connection, vault)
    if (!token || (need.since !== null && token.fetchedAt < need.since)) return null
    const left = token.expiresAt - clock.now()
    const justFetched = token.fetchedAt >= startedAt && left > 0
    return justFetched || left >= need.minTtlSeconds * 1000 ? token : null
  }

  /** Leaves upstream alone where it would only refuse again. */
  const checkPause = ({ status, retryAt }: Connection, need: Need): void => {
    const wait = (retryAt ?? 0) - clock.now()
    if (wait > 0 && wait < LONGEST_PAUSE && !need.evenIfPaused) {
      if (status === 'needs_reconnect') throw new BrokerError('needs_reconnect')
      throw unavailable('the last refresh failed a moment ago', wait)
    }
    if (incidentUntil > clock.now()) throw new BrokerError('server_error')
    if (!breaker.admits()) throw unavailable('Ellipsis Drive is taken for down', 2000)
  }

  const takeLease = ({ id, generation }: Connection, owner: string): Promise<boolean> => {
    const now = clock.now()
    const bounds = { now, until: now + LEASE, longest: LEASE }
    return store.takeLease({ id, expectedGeneration: generation, owner, ...bounds })
  }

  /** Is the lease still held, and now held for another call? If not, another writer came first. */
  const extend = ({ connection: { id }, owner }: Lease): Promise<boolean> =>
    store.extendLease({ id, owner, until: clock.now() + LEASE })

  const call = (lease: Lease, refreshToken: Secret): Promise<Tokens> => {
    const before = async () => {
      if (!(await extend(lease))) throw new LostLease()
    }
    const refresh = () => breaker.run(() => ellipsis.refresh(refreshToken))
    return withRetries(refresh, { clock, random, before })
  }

  /** Calls upstream with the current token; a refusal is asked for again, and at last the previous tried. */
  const refreshHeld = async (lease: Lease): Promise<AccessToken> => {
    const tries = triesOf(lease.connection, vault)
    for (const [index, { token, previous }] of tries.entries()) {
      if (index > 0) {
        await clock.sleep(CONFIRM_AFTER)
        if (!(await extend(lease))) throw new LostLease()
      }
      const answer = await call(lease, token).catch((error: unknown) => error)
      if (!(answer instanceof Error)) return keep(lease, token, answer as Tokens)
      if (isEllipsisError(answer) && answer.refreshToken) {
        await keep(lease, token, onlyRefreshToken(lease, answer.refreshToken))
        throw upstreamError(answer)
      }
      const refused = isEllipsisError(answer) && answer.kind === 'refused'
      if (!refused || index === tries.length - 1) return fail(lease, answer, previous)
    }
    throw new Error('a connection without a refresh token')
  }

  /** An answer of which nothing but the next refresh token is good; the access token stays what it was. */
  const onlyRefreshToken = ({ connection }: Lease, refreshToken: Secret): Tokens => {
    const old = openStored(connection, vault)
    return {
      accessToken: old?.value ?? new Secret(''),
      expiresAt: old?.expiresAt ?? 0,
      fetchedAt: old?.fetchedAt ?? 0,
      refreshToken,
      scope: null,
    }
  }

  /** Stores what upstream gave, however long that takes: it exists nowhere else. */
  const keep = async (lease: Lease, used: Secret, tokens: Tokens): Promise<AccessToken> => {
    const { connection, owner } = lease
    const { id, generation } = connection
    const refreshToken = tokens.refreshToken ?? used
    const rotated = refreshToken.reveal() !== used.reveal()
    const recovered = connection.status === 'needs_reconnect'
    const at = clock.now()
    // Sealed anew at each try: the encryption keys may change while a write can't be made.
    const refreshed = () => ({
      id,
      expectedGeneration: generation,
      owner,
      tokens: {
        refreshToken: vault.seal(`connections/${id}/refresh_token`, refreshToken),
        accessToken: vault.seal(`connections/${id}/access_token`, tokens.accessToken),
        accessTokenExpiresAt: tokens.expiresAt,
        accessTokenFetchedAt: tokens.fetchedAt,
      },
      previousRefreshToken: rotated
        ? vault.seal(`connections/${id}/previous_refresh_token`, used)
        : null,
      now: at,
      events: recovered
        ? [{ at, actor: 'system', action: 'connection.recovered', connectionId: id }]
        : [],
    })
    if (!(await saveForSure(() => store.saveTokens(refreshed()), id))) throw new LostLease()
    succeededAt = clock.now()
    const { accessToken: value, expiresAt, fetchedAt } = tokens
    return { value, expiresAt, fetchedAt, generation: generation + 1 }
  }

  const saveForSure = async (save: () => Promise<boolean>, id: string): Promise<boolean> => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await save()
      } catch (error) {
        log.error({ err: error, connection: id }, 'refreshed tokens can’t be stored; trying again')
        await clock.sleep(backoff(attempt, 100, 5000, random))
      }
    }
  }

  /** Records what the failure means, and throws what the app is told. */
  const fail = async (lease: Lease, error: Error, triedPrevious: boolean): Promise<never> => {
    const { connection, owner } = lease
    const { id, generation } = connection
    if (!isEllipsisError(error) || error.kind === 'misconfigured') throw ownFault(error)
    const at = clock.now()
    const cutOff = connection.leaseOwner !== null
    const othersWork = at - succeededAt < LATELY
    const context = { cutOff, othersWork, now: at, random }
    const { refused, ...verdict } = judge(error, connection, context)
    const dead = verdict.status === 'needs_reconnect'
    const fallen = dead && connection.status === 'active'
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
    if (!saved) throw new LostLease()
    throw refused ? new BrokerError('needs_reconnect', { cause: error }) : upstreamError(error)
  }

  /** One loud incident: no connection is to blame for it, and none is marked. */
  const ownFault = (error: Error): Error => {
    if (!isEllipsisError(error)) return error
    incidentUntil = clock.now() + INCIDENT
    const message =
      'Ellipsis Drive refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'
    log.error({ err: error }, message)
    return new BrokerError('server_error', { cause: error })
  }

  return async (id, run) => {
    const startedAt = clock.now()
    for (let poll = 0; poll < POLLS; poll++) {
      const connection = await read(id)
      const stored = findStored(connection, run.need, startedAt)
      if (stored) return stored
      checkPause(connection, run.need)
      // Compared with the generation just read: had another process stored tokens since, it fails.
      const lease = { connection, owner: random(12).toString('base64url') }
      if (await takeLease(connection, lease.owner)) {
        run.called = true
        try {
          const token = await refreshHeld(lease)
          usage.count('refresh', run.need.appId, 'ok')
          return token
        } catch (error) {
          await store.freeLease({ id, owner: lease.owner }).catch(() => undefined)
          if (error instanceof LostLease) continue
          const outcome = error instanceof BrokerError ? error.code : 'server_error'
          usage.count('refresh', run.need.appId, outcome)
          throw error
        }
      }
      await clock.sleep(backoff(poll, 50, 250, random))
    }
    throw unavailable('another process holds the lease', 2000)
  }
}

/** The stored access token, opened, whatever its age. */
export function openStored(connection: Connection, vault: Vault): AccessToken | null {
  const { id, accessToken, accessTokenExpiresAt, accessTokenFetchedAt, generation } = connection
  if (!accessToken || accessTokenExpiresAt === null || accessTokenFetchedAt === null) return null
  const value = vault.open(`connections/${id}/access_token`, accessToken)
  return { value, expiresAt: accessTokenExpiresAt, fetchedAt: accessTokenFetchedAt, generation }
}

/** Another writer came first: read again what it wrote. Never leaves this file. */
class LostLease extends Error {}

const unavailable = (why: string, waitMilliseconds: number): BrokerError =>
  new BrokerError('temporarily_unavailable', {
    cause: new Error(why),
    retryAfter: Math.ceil(waitMilliseconds / 1000),
  })

/**
 * What to call upstream with, in turn, while it refuses. The previous token comes last, and only once
 * the refusal has stood for a while: to an upstream that rotates strictly its use is theft, and would
 * end a healthy family over a passing fault.
 */
function triesOf(connection: Connection, vault: Vault): { token: Secret; previous: boolean }[] {
  const { id, refreshToken, previousRefreshToken, status } = connection
  if (!refreshToken) return []
  const token = vault.open(`connections/${id}/refresh_token`, refreshToken)
  const current = { token, previous: false }
  if (!previousRefreshToken || status !== 'needs_reconnect') return [current, current]
  const before = vault.open(`connections/${id}/previous_refresh_token`, previousRefreshToken)
  return [current, current, { token: before, previous: true }]
}
