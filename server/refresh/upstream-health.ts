import { LRUCache } from 'lru-cache'

/**
 * What the latest refreshes of all connections say about Ellipsis Drive, so that an upstream problem is not
 * blamed on a connection. Per process; empty after a start, when nothing is blamed.
 */
export interface UpstreamHealth {
  recordSuccess(connectionId: string): void
  recordFailure(connectionId: string, kind: 'refused' | 'misconfigured' | 'other'): void
  /** Was another connection refreshed since this one began to fail? */
  othersSucceed(connectionId: string): boolean
  /** Were several refresh tokens refused in a row? Then upstream is more likely at fault than all of them. */
  refusesAll(): boolean
  /** Is the broker's own client refused, for several connections? */
  refusesClient(): boolean
}

/** Number of different connections in a row, without a success in between, that is no coincidence. */
const REFUSED_CONNECTIONS_LIMIT = 5
const MISCONFIGURED_CONNECTIONS_LIMIT = 2

export function createUpstreamHealth(): UpstreamHealth {
  let successes = 0
  /** For each failing connection: the number of successes when it began to fail. */
  const failingSince = new LRUCache<string, number>({ max: 10_000 })
  const refused = new Set<string>()
  const misconfigured = new Set<string>()

  return {
    recordSuccess(id) {
      successes++
      failingSince.delete(id)
      refused.clear()
      misconfigured.clear()
    },

    recordFailure(id, kind) {
      if (!failingSince.has(id)) failingSince.set(id, successes)
      if (kind === 'refused' && refused.size < REFUSED_CONNECTIONS_LIMIT) refused.add(id)
      if (kind === 'misconfigured' && misconfigured.size < MISCONFIGURED_CONNECTIONS_LIMIT) {
        misconfigured.add(id)
      }
    },

    // A success of its own would have ended the failure: all later successes are of other connections.
    othersSucceed: (id) => successes > (failingSince.get(id) ?? successes),
    refusesAll: () => refused.size >= REFUSED_CONNECTIONS_LIMIT,
    refusesClient: () => misconfigured.size >= MISCONFIGURED_CONNECTIONS_LIMIT,
  }
}
