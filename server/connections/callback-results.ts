import { LRUCache } from 'lru-cache'
import type { Hash, Millis } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Clock } from '../runtime.ts'
import type { FlowCookie } from './flow.ts'

const MAX_RESULTS = 10_000

/**
 * Results of callbacks, as a browser may repeat one: a reload, or a navigation that was aborted.
 * @param lifetimeMs how long a result is repeated
 */
export function createCallbackResults<Result>(clock: Clock, lifetimeMs: number) {
  const results = new LRUCache<Hash, { result: Promise<Result>; expiresAt: Millis }>({
    max: MAX_RESULTS,
  })

  return {
    /** The result of the callback with that key; `undefined`: it came for the first time. */
    find(key: Hash): Promise<Result> | undefined {
      const former = results.get(key)
      return former && former.expiresAt > clock.now() ? former.result : undefined
    },

    add(key: Hash, result: Promise<Result>): void {
      results.set(key, { result, expiresAt: clock.now() + lifetimeMs })
    },

    remove(key: Hash): void {
      results.delete(key)
    },
  }
}

/**
 * Identifies a callback of a browser, by its cookies.
 * @param hasState `false`: a callback without a state, which counts as another one
 */
export function callbackKey(hasState: boolean, cookies: FlowCookie[]): Hash {
  const values = cookies.map(({ stateHash, value }) => `${stateHash} ${value.reveal()}`)
  return sha256([hasState, ...values.sort()].join('\n'))
}
