import { LRUCache } from 'lru-cache'

/**
 * What the latest refreshes of all connections, taken together, tell of Ellipsis Drive: so that what ails it
 * is blamed on no connection. Of this process; after a start nothing is known, and nobody is blamed.
 */
export interface UpstreamHealth {
  succeeded(id: string): void
  failed(id: string, how: 'refused' | 'misconfigured' | 'otherwise'): void
  /** Has another connection been refreshed since this one began to fail? */
  othersWork(id: string): boolean
  /** Are refresh tokens refused one after the other, and none taken? Then hardly all of them are dead. */
  refusesAll(): boolean
  /** Is the broker's own client refused, whichever the connection? */
  refusesClient(): boolean
}

/** So many connections in a row, without a success between, are no chance. */
const MANY_REFUSED = 5
const MANY_MISCONFIGURED = 2

export function createUpstreamHealth(): UpstreamHealth {
  /** Successes by now; and at which of them a connection began to fail. */
  let successes = 0
  const failingSince = new LRUCache<string, number>({ max: 10_000 })
  const refused = new Set<string>()
  const misconfigured = new Set<string>()

  return {
    succeeded(id) {
      successes++
      failingSince.delete(id)
      refused.clear()
      misconfigured.clear()
    },

    failed(id, how) {
      if (!failingSince.has(id)) failingSince.set(id, successes)
      if (how === 'refused' && refused.size < MANY_REFUSED) refused.add(id)
      if (how === 'misconfigured' && misconfigured.size < MANY_MISCONFIGURED) misconfigured.add(id)
    },

    // Its own success would have ended its failing: all that came since are of others.
    othersWork: (id) => successes > (failingSince.get(id) ?? successes),
    refusesAll: () => refused.size >= MANY_REFUSED,
    refusesClient: () => misconfigured.size >= MANY_MISCONFIGURED,
  }
}
