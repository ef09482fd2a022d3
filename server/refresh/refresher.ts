import { LRUCache } from 'lru-cache'
import { BrokerError } from '../errors.ts'
import { openStored, remainingLifetimeMs } from './access-token.ts'
import type { AccessToken, TokenRequirement } from './access-token.ts'
import type { Clock } from '../runtime.ts'
import type { Connection, Millis, Store } from '../../db/store.ts'
import type { RefreshAttempt, RefreshRequest } from './refresh-attempt.ts'
import type { Vault } from '../crypto/vault.ts'

/** Provides access tokens. Refreshes a connection once, however many callers ask. */
export interface Refresher {
  /** The access token of that generation, if it is cached; it may have expired. Marks it as used. */
  getCached(connectionId: string, generation: number): AccessToken | undefined
  /** The cached access token, if it satisfies the requirement and the connection is active. */
  findCached(
    connection: Pick<Connection, 'id' | 'generation' | 'status'>,
    requirement: TokenRequirement,
  ): AccessToken | undefined
  /**
   * Returns an access token that satisfies the requirement, from the store or from Ellipsis Drive. While
   * Ellipsis Drive is unavailable, returns the stored token until it expires, unless a refresh is forced.
   * Waits at most ten seconds in all, also for refreshes that began before a forced one; a refresh continues
   * without its waiters, because a dropped answer is a lost token.
   * @throws BrokerError `connection_revoked`, `needs_reconnect`, `temporarily_unavailable`,
   *   `slow_down` (forced too often), `server_error` (the broker's own client was refused)
   */
  get(connectionId: string, requirement: TokenRequirement): Promise<AccessToken>
  /**
   * Refreshes a connection that nobody waits for, unless its token was fetched after that time.
   * Has no timeout. Throws what `get` throws.
   */
  refreshInBackground(connectionId: string, fetchedAfter: Millis): Promise<void>
  /** The cached access token, and whether it was used since it was fetched. Does not mark it as used. */
  inspectCache(connectionId: string): (AccessToken & { used: boolean }) | undefined
  /** Resolves when no refresh is in progress. */
  settled(): Promise<void>
}

interface PendingRefresh extends RefreshRequest {
  promise: Promise<AccessToken>
}

interface CachedToken extends AccessToken {
  used: boolean
}

const WAIT_TIMEOUT_MS = 10_000
/** A connection's refresh can be forced once in this time. */
const FORCE_INTERVAL_MS = 10_000
const FORCE_MEMORY_CONNECTIONS = 100_000
/** Size limit of the token cache, characters; each entry counts this many more than its token. */
const TOKEN_CACHE_LIMIT_CHARS = 64 * 1024 * 1024
const TOKEN_CACHE_ENTRY_CHARS = 500

export function createRefresher(deps: {
  attempt: RefreshAttempt
  store: Store
  vault: Vault
  clock: Clock
  /** Called with each token that is put into the cache. */
  onToken: (connectionId: string, token: AccessToken) => void
}): Refresher {
  const { attempt, store, vault, clock, onToken } = deps
  const cache = new LRUCache<string, CachedToken>({
    maxSize: TOKEN_CACHE_LIMIT_CHARS,
    sizeCalculation: (token) => token.value.reveal().length + TOKEN_CACHE_ENTRY_CHARS,
  })
  const pending = new Map<string, PendingRefresh>()
  const forcedAt = new LRUCache<string, number>({
    maxSize: FORCE_MEMORY_CONNECTIONS,
    sizeCalculation: () => 1,
  })

  const startRefresh = (id: string, requirement: TokenRequirement): PendingRefresh => {
    const request = { requirement: { ...requirement }, callStarted: false }
    const promise = attempt(id, request).then((token) => {
      cache.set(id, { ...token, used: false })
      onToken(id, token)
      return token
    })
    const refresh: PendingRefresh = Object.assign(request, { promise })
    pending.set(id, refresh)
    const remove = () => {
      if (pending.get(id) === refresh) pending.delete(id)
    }
    promise.then(remove, remove)
    return refresh
  }

  const checkForceInterval = (id: string): void => {
    const elapsedMs = clock.now() - (forcedAt.get(id) ?? -Infinity)
    if (elapsedMs < 0 || elapsedMs >= FORCE_INTERVAL_MS) return
    const retryAfter = Math.ceil((FORCE_INTERVAL_MS - elapsedMs) / 1000)
    const description = 'A refresh was forced a moment ago. Wait as long as Retry-After says.'
    throw new BrokerError('slow_down', { description, retryAfter, reason: 'forced_too_often' })
  }

  /**
   * Joins a pending refresh that can satisfy the requirement, or starts one. Starts none for a caller that has
   * given up.
   */
  const joinOrStart = async (
    id: string,
    requirement: TokenRequirement,
    givenUp: AbortSignal,
  ): Promise<AccessToken> => {
    const isForced = requirement.fetchedAfter !== null
    while (!givenUp.aborted) {
      const current = pending.get(id)
      if (current && (!isForced || !current.callStarted)) {
        widen(current.requirement, requirement)
        return current.promise
      }
      if (isForced) checkForceInterval(id)
      if (!current) {
        if (isForced) forcedAt.set(id, clock.now())
        return startRefresh(id, requirement).promise
      }
      await current.promise.catch(() => undefined)
    }
    throw waitedTooLong()
  }

  const findUnexpired = async (id: string): Promise<AccessToken | undefined> => {
    const connection = await store.getConnection(id)
    const token = connection?.status === 'active' ? openStored(connection, vault) : null
    return token && token.expiresAt > clock.now() ? token : undefined
  }

  const getCached = (connectionId: string, generation: number): AccessToken | undefined => {
    const token = cache.get(connectionId)
    if (token?.generation !== generation) return undefined
    token.used = true
    return token
  }

  return {
    getCached,

    findCached({ id, generation, status }, requirement) {
      if (requirement.fetchedAfter !== null || status !== 'active') return undefined
      // A use without the user does not cause refreshes ahead of expiry, which nothing would pace.
      const token = requirement.isPaced ? cache.peek(id) : getCached(id, generation)
      if (token?.generation !== generation) return undefined
      const remainingMs = remainingLifetimeMs(token, clock.now())
      return remainingMs > 0 && remainingMs >= requirement.minTtlSeconds * 1000 ? token : undefined
    },

    inspectCache: (connectionId) => cache.peek(connectionId),

    async refreshInBackground(connectionId, fetchedAfter) {
      const requirement = { minTtlSeconds: 0, fetchedAfter, evenIfPaused: false, appId: null }
      const refresh = pending.get(connectionId) ?? startRefresh(connectionId, requirement)
      await refresh.promise
    },

    async get(connectionId, requirement) {
      try {
        return await withTimeout(
          (givenUp) => joinOrStart(connectionId, requirement, givenUp),
          clock,
        )
      } catch (error) {
        const isUnavailable =
          error instanceof BrokerError && error.code === 'temporarily_unavailable'
        const token =
          isUnavailable && requirement.fetchedAfter === null
            ? await findUnexpired(connectionId)
            : undefined
        if (token) return token
        throw error
      }
    },

    async settled() {
      while (pending.size > 0) {
        await Promise.allSettled([...pending.values()].map(({ promise }) => promise))
      }
    },
  }
}

function widen(target: TokenRequirement, requirement: TokenRequirement): void {
  target.minTtlSeconds = Math.max(target.minTtlSeconds, requirement.minTtlSeconds)
  target.fetchedAfter =
    target.fetchedAfter === null
      ? requirement.fetchedAfter
      : Math.max(target.fetchedAfter, requirement.fetchedAfter ?? 0)
  target.evenIfPaused ||= requirement.evenIfPaused
  target.isPaced = target.isPaced === true && requirement.isPaced === true
}

/** Runs the work, or throws a 503 after the timeout and aborts `givenUp`; the work continues. */
async function withTimeout<T>(
  work: (givenUp: AbortSignal) => Promise<T>,
  clock: Clock,
): Promise<T> {
  const [settled, givenUp] = [new AbortController(), new AbortController()]
  const timeout = clock.sleep(WAIT_TIMEOUT_MS, settled.signal).then(() => {
    givenUp.abort()
    throw waitedTooLong()
  })
  timeout.catch(() => undefined)
  try {
    return await Promise.race([work(givenUp.signal), timeout])
  } finally {
    settled.abort()
  }
}

function waitedTooLong(): BrokerError {
  const cause = new Error(`no fresh access token within ${WAIT_TIMEOUT_MS} ms`)
  return new BrokerError('temporarily_unavailable', {
    cause,
    retryAfter: 2,
    reason: 'refresh_timeout',
  })
}
