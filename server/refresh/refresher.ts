import { LRUCache } from 'lru-cache'
import { BrokerError } from '../errors.ts'
import { openStored } from './access-token.ts'
import type { AccessToken, TokenRequirement } from './access-token.ts'
import type { Clock } from '../runtime.ts'
import type { Millis, Store } from '../../db/store.ts'
import type { RefreshAttempt } from './refresh-attempt.ts'
import type { Vault } from '../crypto/vault.ts'

/** Hands out access tokens, and refreshes a connection once, however many ask. */
export interface Refresher {
  /** The access token of that generation, if it is in memory; it may have ended. It counts as used. */
  peek(connectionId: string, generation: number): AccessToken | undefined
  /**
   * An access token that meets the need, from the store or from Ellipsis Drive; while that is away, the
   * stored one as long as it lives, unless a fresh one is forced. Waits ten seconds at most; the refresh
   * itself goes on without its waiters, for an answer that is dropped is a lost token.
   * @throws BrokerError `connection_revoked`, `needs_reconnect`, `temporarily_unavailable`,
   *   `slow_down` (forced too often), `server_error` (the broker's own client was refused)
   */
  get(connectionId: string, requirement: TokenRequirement): Promise<AccessToken>
  /**
   * Refreshes a connection that nobody waits for, unless its token was fetched after that time.
   * Rejects as `get` does, and has no bound of its own.
   */
  renew(connectionId: string, fetchedAfter: Millis): Promise<void>
  /** The access token in memory, and whether it was used since it was fetched. */
  recall(connectionId: string): (AccessToken & { used: boolean }) | undefined
  /** Resolves when no refresh is under way. */
  settled(): Promise<void>
}

/** A refresh under way. */
interface Run {
  promise: Promise<AccessToken>
  /** Widened by those who join before the call upstream begins. */
  requirement: TokenRequirement
  /** Has the call upstream begun? Then its token may be too old for a forced request. */
  called: boolean
}

/** An opened access token. */
interface Remembered extends AccessToken {
  used: boolean
}

const WAIT = 10_000
/** A fresh token of a connection can be forced once in this time, milliseconds. */
const FORCED_EVERY = 10_000
/** Room for opened access tokens, characters. */
const REMEMBERED = 64 * 1024 * 1024

export function createRefresher(needs: {
  attempt: RefreshAttempt
  store: Store
  vault: Vault
  clock: Clock
  /** Told of each token that comes into memory. */
  onToken: (connectionId: string, token: AccessToken) => void
}): Refresher {
  const { attempt, store, vault, clock, onToken } = needs
  const opened = new LRUCache<string, Remembered>({
    maxSize: REMEMBERED,
    sizeCalculation: (token) => token.value.reveal().length + 500,
  })
  const runs = new Map<string, Run>()
  const forcedAt = new LRUCache<string, number>({ maxSize: 100_000, sizeCalculation: () => 1 })

  const start = (id: string, requirement: TokenRequirement): Run => {
    const work = { requirement: { ...requirement }, called: false }
    const promise = attempt(id, work).then((token) => {
      opened.set(id, { ...token, used: false })
      onToken(id, token)
      return token
    })
    const run: Run = Object.assign(work, { promise })
    runs.set(id, run)
    const done = () => {
      if (runs.get(id) === run) runs.delete(id)
    }
    promise.then(done, done)
    return run
  }

  const checkForce = (id: string): void => {
    const ago = clock.now() - (forcedAt.get(id) ?? -Infinity)
    if (ago < 0 || ago >= FORCED_EVERY) return
    const retryAfter = Math.ceil((FORCED_EVERY - ago) / 1000)
    const description = 'A fresh token was forced a moment ago; wait as long as Retry-After says.'
    throw new BrokerError('slow_down', { description, retryAfter })
  }

  /** The run that will meet the need: one under way, or a new one. */
  const find = async (id: string, requirement: TokenRequirement): Promise<Run> => {
    const run = runs.get(id)
    if (run && (requirement.fetchedAfter === null || !run.called)) {
      widen(run.requirement, requirement)
      return run
    }
    if (requirement.fetchedAfter !== null) checkForce(id)
    if (run) {
      await leaveAfter(WAIT, run.promise, clock).catch(() => undefined)
      return find(id, requirement)
    }
    if (requirement.fetchedAfter !== null) forcedAt.set(id, clock.now())
    return start(id, requirement)
  }

  const findLiving = async (id: string): Promise<AccessToken | undefined> => {
    const connection = await store.getConnection(id)
    const token = connection?.status === 'active' ? openStored(connection, vault) : null
    return token && token.expiresAt > clock.now() ? token : undefined
  }

  return {
    peek(connectionId, generation) {
      const token = opened.get(connectionId)
      if (token?.generation !== generation) return undefined
      token.used = true
      return token
    },

    recall: (connectionId) => opened.peek(connectionId),

    async renew(connectionId, fetchedAfter) {
      const requirement = { minTtlSeconds: 0, fetchedAfter, evenIfPaused: false, appId: null }
      await (runs.get(connectionId) ?? start(connectionId, requirement)).promise
    },

    async get(connectionId, requirement) {
      try {
        const run = await find(connectionId, requirement)
        return await leaveAfter(WAIT, run.promise, clock)
      } catch (error) {
        const away = error instanceof BrokerError && error.code === 'temporarily_unavailable'
        const living =
          away && requirement.fetchedAfter === null ? await findLiving(connectionId) : undefined
        if (living) return living
        throw error
      }
    },

    async settled() {
      while (runs.size > 0) {
        await Promise.allSettled([...runs.values()].map((run) => run.promise))
      }
    },
  }
}

function widen(run: TokenRequirement, requirement: TokenRequirement): void {
  run.minTtlSeconds = Math.max(run.minTtlSeconds, requirement.minTtlSeconds)
  run.fetchedAfter =
    run.fetchedAfter === null
      ? requirement.fetchedAfter
      : Math.max(run.fetchedAfter, requirement.fetchedAfter ?? 0)
  run.evenIfPaused ||= requirement.evenIfPaused
}

/** The promise, or a 503 after `wait` milliseconds; the promise is not disturbed. */
async function leaveAfter<T>(wait: number, promise: Promise<T>, clock: Clock): Promise<T> {
  const answered = new AbortController()
  const late = clock.sleep(wait, answered.signal).then(() => {
    const cause = new Error(`no fresh access token within ${wait} ms`)
    throw new BrokerError('temporarily_unavailable', { cause, retryAfter: 2 })
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    answered.abort()
  }
}
