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
 * - ahead of the end, for access tokens that were used, so that swaps go on being answered from memory. Each
 *   process cares for what it has handed out itself: after a restart nothing is due, and nothing rushes;
 * - what a process that died or lost an answer left unfinished, while upstream may still honour the old token;
 * - what failed, when its pause is over: rarely, where it was refused.
 */
export interface RefreshAhead {
  /** Plans the refresh of a token that came into memory. */
  plan(connectionId: string, token: AccessToken): void
  start(): void
  /** Begins nothing more; resolves when nothing of it is under way. */
  stop(): Promise<void>
}

const SECOND = 1000
/** How often is looked for what is due in memory, and for what is unfinished in the store. Milliseconds. */
const LOOK_EVERY = SECOND
const SEARCH_EVERY = 2 * SECOND
/** Refreshes under way at once: requests go first. */
const AT_ONCE = 8
/** Most that a search brings. */
const SEARCHED = 100
/** Part of its life that a token has left when it is refreshed: between the two, by chance. */
const [LEAST_LEFT, MOST_LEFT] = [0.05, 0.15]
/** What couldn't be refreshed is planned anew within this, milliseconds, while it lives. */
const AGAIN_WITHIN = 30 * SECOND

export function createRefreshAhead(needs: {
  store: Store
  refresher: Refresher
  leases: Leases
  breaker: CircuitBreaker
  clock: Clock
  random: Random
  log: Log
  /** Validity that swaps ask for at the least, seconds. */
  minTtlSeconds: number
}): RefreshAhead {
  const { store, refresher, leases, breaker, clock, random, log, minTtlSeconds } = needs
  const stopping = new AbortController()
  /** Ids by the second in which they are due. */
  const due = new Map<number, string[]>()
  const underWay = new Set<string>()
  let loops: Promise<void>[] = []

  const planAt = (id: string, at: Millis): void => {
    const second = Math.ceil(at / SECOND)
    const ids = due.get(second)
    if (ids) ids.push(id)
    else due.set(second, [id])
  }

  /** Not before half of its life: a token that is short for what swaps ask for isn't fetched in a loop. */
  const dueAt = ({ fetchedAt, expiresAt }: AccessToken): Millis => {
    const life = expiresAt - fetchedAt
    const left = life * (LEAST_LEFT + (MOST_LEFT - LEAST_LEFT) * fraction(random))
    return Math.max(fetchedAt + life / 2, expiresAt - minTtlSeconds * SECOND - left)
  }

  const takeDue = (): string[] => {
    const now = Math.floor(clock.now() / SECOND)
    const past = [...due].filter(([second]) => second <= now).sort(([a], [b]) => a - b)
    return past.flatMap(([second, ids]) => {
      due.delete(second)
      return ids
    })
  }

  /** Runs `work` for each, a few at once, until told to stop. */
  const forEach = async (ids: string[], work: (id: string) => Promise<void>): Promise<void> => {
    const left = ids.values()
    const worker = async () => {
      for (const id of left) {
        if (stopping.signal.aborted || underWay.has(id)) continue
        underWay.add(id)
        await work(id).finally(() => underWay.delete(id))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }

  const refreshAhead = async (id: string): Promise<void> => {
    const token = refresher.recall(id)
    const now = clock.now()
    // It may have been replaced since: the newer one has a plan of its own.
    if (!token?.used || now < token.fetchedAt + (token.expiresAt - token.fetchedAt) / 2) return
    try {
      if (breaker.state() !== 'closed') throw new Error('Ellipsis Drive is not well')
      await refresher.renew(id, token.fetchedAt)
    } catch {
      if (now < token.expiresAt) planAt(id, now + AGAIN_WITHIN * fraction(random))
    }
  }

  /** An error is logged where it happens, and told to the next one who asks. */
  const finish = (id: string): Promise<void> =>
    refresher.renew(id, clock.now()).catch(() => undefined)

  const search = async (): Promise<void> => {
    const left = await leases.listLeft(SEARCHED)
    const failed = await store.listFailed({ retryBefore: clock.now(), limit: SEARCHED })
    await forEach([...left, ...failed], finish)
  }

  const every = async (period: number, work: () => Promise<void>): Promise<void> => {
    while (!stopping.signal.aborted) {
      // Processes that were started together don't stay together.
      await clock.sleep(period * (0.5 + fraction(random)), stopping.signal)
      if (stopping.signal.aborted) return
      await work().catch((error: unknown) => {
        log.error({ err: error }, 'refreshing ahead failed; it is tried again')
      })
    }
  }

  return {
    plan: (id, token) => planAt(id, dueAt(token)),

    start() {
      const look = () => forEach(takeDue(), refreshAhead)
      loops = [every(LOOK_EVERY, look), every(SEARCH_EVERY, search)]
    },

    async stop() {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}
