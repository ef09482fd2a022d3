import type { Millis, Store } from '../../db/store.ts'
import type { AccessToken } from './access-token.ts'
import type { CircuitBreaker } from './circuit-breaker.ts'
import { fraction } from '../runtime.ts'
import type { Clock, Random } from '../runtime.ts'
import type { Leases } from './lease.ts'
import type { Log } from '../log.ts'
import type { Refresher } from './refresher.ts'

/**
 * Refreshes that no request waits for:
 * - before expiry, of access tokens that were used, so that swaps are answered from memory. Each process does
 *   this for the tokens it handed out itself, so a restart causes no rush;
 * - abandoned refreshes (the process died, or the answer was lost), while upstream may still accept the old
 *   token;
 * - failed refreshes, after their pause; rarely if the connection was refused.
 */
export interface RefreshAhead {
  /** Schedules the refresh of a token that was put into memory. */
  schedule(connectionId: string, token: AccessToken): void
  start(): void
  /** Begins no further refreshes; resolves when the current ones have ended. */
  stop(): Promise<void>
}

const SECOND_MS = 1000
/** How often to look for due tokens in memory. */
const DUE_CHECK_INTERVAL_MS = SECOND_MS
/** How often to search the store for abandoned and failed refreshes. */
const STORE_SEARCH_INTERVAL_MS = 2 * SECOND_MS
const STORE_SEARCH_LIMIT = 100
/** Concurrent refreshes; few, so that requests go first. */
const MAX_CONCURRENT_REFRESHES = 8
/** A token is refreshed when this share of its lifetime remains: random between the two. */
const MIN_REMAINING_SHARE = 0.05
const MAX_REMAINING_SHARE = 0.15
/** A failed refresh is scheduled again within this time, until the token expires. */
const RETRY_WITHIN_MS = 30 * SECOND_MS

export function createRefreshAhead(deps: {
  store: Store
  refresher: Refresher
  leases: Leases
  breaker: CircuitBreaker
  clock: Clock
  random: Random
  log: Log
  /** Minimum remaining lifetime that swaps ask for, seconds. */
  minTtlSeconds: number
}): RefreshAhead {
  const { store, refresher, leases, breaker, clock, random, log, minTtlSeconds } = deps
  const stopping = new AbortController()
  /** Connection ids by the second in which they are due. */
  const due = new Map<number, string[]>()
  const inProgress = new Set<string>()
  let loops: Promise<void>[] = []

  const scheduleAt = (id: string, at: Millis): void => {
    const second = Math.ceil(at / SECOND_MS)
    const ids = due.get(second)
    if (ids) ids.push(id)
    else due.set(second, [id])
  }

  /** Not before half of the lifetime, so that a short-lived token is not fetched in a loop. */
  const dueAt = ({ fetchedAt, expiresAt }: AccessToken): Millis => {
    const lifetimeMs = expiresAt - fetchedAt
    const share =
      MIN_REMAINING_SHARE + (MAX_REMAINING_SHARE - MIN_REMAINING_SHARE) * fraction(random)
    const latestAt = expiresAt - minTtlSeconds * SECOND_MS - lifetimeMs * share
    return Math.max(fetchedAt + lifetimeMs / 2, latestAt)
  }

  const takeDue = (): string[] => {
    const now = Math.floor(clock.now() / SECOND_MS)
    const past = [...due].filter(([second]) => second <= now).sort(([a], [b]) => a - b)
    return past.flatMap(([second, ids]) => {
      due.delete(second)
      return ids
    })
  }

  /** Runs `work` for each id, a few at a time, until stopped. */
  const forEach = async (ids: string[], work: (id: string) => Promise<void>): Promise<void> => {
    const remaining = ids.values()
    const worker = async () => {
      for (const id of remaining) {
        if (stopping.signal.aborted || inProgress.has(id)) continue
        inProgress.add(id)
        await work(id).finally(() => inProgress.delete(id))
      }
    }
    await Promise.all(Array.from({ length: MAX_CONCURRENT_REFRESHES }, worker))
  }

  const refreshDue = async (id: string): Promise<void> => {
    const token = refresher.inspectCache(id)
    const now = clock.now()
    // If the token was replaced meanwhile, the newer one has a schedule of its own.
    if (!token?.used || now < token.fetchedAt + (token.expiresAt - token.fetchedAt) / 2) return
    try {
      if (breaker.state() !== 'closed') throw new Error('the circuit breaker is not closed')
      await refresher.refreshInBackground(id, token.fetchedAt)
    } catch {
      if (now < token.expiresAt) scheduleAt(id, now + RETRY_WITHIN_MS * fraction(random))
    }
  }

  /** Errors are logged where they happen, and reported to the next request. */
  const finishRefresh = (id: string): Promise<void> =>
    refresher.refreshInBackground(id, clock.now()).catch(() => undefined)

  const finishRefreshes = async (): Promise<void> => {
    const abandoned = await leases.listAbandoned(STORE_SEARCH_LIMIT)
    const bounds = { retryBefore: clock.now(), limit: STORE_SEARCH_LIMIT }
    const failed = await store.listFailed(bounds)
    await forEach([...abandoned, ...failed], finishRefresh)
  }

  const repeat = async (intervalMs: number, work: () => Promise<void>): Promise<void> => {
    while (!stopping.signal.aborted) {
      // Random intervals, so that processes started together drift apart.
      await clock.sleep(intervalMs * (0.5 + fraction(random)), stopping.signal)
      if (stopping.signal.aborted) return
      await work().catch((error: unknown) => {
        log.error({ err: error }, 'refreshing ahead failed; trying again')
      })
    }
  }

  return {
    schedule(id, token) {
      // One that had expired when it came is not kept fresh.
      if (token.expiresAt > token.fetchedAt) scheduleAt(id, dueAt(token))
    },

    start() {
      loops = [
        repeat(DUE_CHECK_INTERVAL_MS, () => forEach(takeDue(), refreshDue)),
        repeat(STORE_SEARCH_INTERVAL_MS, finishRefreshes),
      ]
    },

    async stop() {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}
