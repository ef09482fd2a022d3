import { LRUCache } from 'lru-cache'
import { BrokerError } from '../errors.ts'
import type { SteadyClock } from '../runtime.ts'

/**
 * Limits calls that fail: anyone can call back with a made-up code, or ask who the user of a made-up token is, and
 * Ellipsis Drive would throttle the host's client for everybody. Refreshes have no part in it.
 */
export interface UpstreamBudget {
  /**
   * Takes the budget for one call. Returns a function that gives it back, for a call that succeeded.
   * @param network of the client; `null`: unknown, so only the budget of all applies
   * @throws BrokerError `slow_down` if that network has used up its budget, `temporarily_unavailable` if all
   *   together have; the call can be made later
   */
  take(network: string | null): () => void
}

/** A token bucket: `size` calls at once, and then so many per second. */
interface Limits {
  size: number
  perSecond: number
}

/** People who share an address may connect at the same time, for example a class. */
export const PER_NETWORK: Limits = { size: 50, perSecond: 0.5 }
export const OF_ALL: Limits = { size: 100, perSecond: 5 }
/** Networks that are tracked at a time. */
const MAX_NETWORKS = 10_000

interface Bucket extends Limits {
  left: number
  /** When `left` was true, by the steady clock. */
  at: number
}

/**
 * @param describe the error's description: who made too many calls ("from your network" or "at the moment"), and
 *   how many seconds to wait
 * @param share this process's part of a limit
 */
export function createUpstreamBudget(
  clock: Pick<SteadyClock, 'steady'>,
  describe: (who: string, retryAfter: number) => string,
  share: (limit: number) => number = (limit) => limit,
): UpstreamBudget {
  const newBucket = (limits: Limits): Bucket => {
    const size = Math.ceil(share(limits.size))
    return { size, perSecond: share(limits.perSecond), left: size, at: clock.steady() }
  }
  const ofAll = newBucket(OF_ALL)
  const networks = new LRUCache<string, Bucket>({ max: MAX_NETWORKS })

  const refill = (bucket: Bucket): Bucket => {
    const now = clock.steady()
    const added = ((now - bucket.at) / 1000) * bucket.perSecond
    return Object.assign(bucket, { left: Math.min(bucket.size, bucket.left + added), at: now })
  }

  const bucketOf = (network: string): Bucket => {
    const bucket = networks.get(network) ?? newBucket(PER_NETWORK)
    networks.set(network, bucket)
    return bucket
  }

  const refusal = (code: 'slow_down' | 'temporarily_unavailable', bucket: Bucket): BrokerError => {
    const retryAfter = Math.ceil((1 - bucket.left) / bucket.perSecond)
    const who = code === 'slow_down' ? 'from your network' : 'at the moment'
    return new BrokerError(code, { retryAfter, description: describe(who, retryAfter) })
  }

  return {
    take(network) {
      const own = network === null ? null : bucketOf(network)
      if (own && refill(own).left < 1) throw refusal('slow_down', own)
      if (refill(ofAll).left < 1) throw refusal('temporarily_unavailable', ofAll)
      const used = [ofAll, ...(own ? [own] : [])]
      for (const bucket of used) bucket.left--
      return () => {
        for (const bucket of used) bucket.left = Math.min(bucket.size, bucket.left + 1)
      }
    },
  }
}

export const describeConnects = (who: string, retryAfter: number): string =>
  `There are too many attempts to connect ${who}. Wait ${retryAfter} seconds, then reload this page; if it does not work any more, go back to the app and connect again.`

export const describeUserInfo = (who: string, retryAfter: number): string =>
  `Too many tokens that Ellipsis Drive does not accept come ${who}. Try again in ${retryAfter} seconds.`
