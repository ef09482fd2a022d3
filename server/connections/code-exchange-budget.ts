import { LRUCache } from 'lru-cache'
import { BrokerError } from '../errors.ts'
import type { SteadyClock } from '../runtime.ts'

/**
 * Limits the code exchanges that fail: anyone can start a flow and call back with a made-up code, and Ellipsis
 * Drive would throttle the host's client for everybody. Refreshes have no part in it.
 */
export interface CodeExchangeBudget {
  /**
   * Takes the budget for one exchange. Returns a function that gives it back, for an exchange that succeeded.
   * @param network of the browser; `null`: unknown, so only the budget of all applies
   * @throws BrokerError `slow_down` if that network has used up its budget, `temporarily_unavailable` if all
   *   together have; the flow can be continued later
   */
  take(network: string | null): () => void
}

/** A token bucket: `size` exchanges at once, and then so many per second. */
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

export function createCodeExchangeBudget(clock: Pick<SteadyClock, 'steady'>): CodeExchangeBudget {
  const newBucket = (limits: Limits): Bucket => ({
    ...limits,
    left: limits.size,
    at: clock.steady(),
  })
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

function refusal(code: 'slow_down' | 'temporarily_unavailable', bucket: Bucket): BrokerError {
  const retryAfter = Math.ceil((1 - bucket.left) / bucket.perSecond)
  const who = code === 'slow_down' ? 'from your network' : 'at the moment'
  const description = `There are too many attempts to connect ${who}. Wait ${retryAfter} seconds, then reload this page; if it does not work any more, go back to the app and connect again.`
  return new BrokerError(code, { retryAfter, description })
}
