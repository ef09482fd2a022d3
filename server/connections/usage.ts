import { setImmediate } from 'node:timers/promises'
import type { Millis, Store, UsageCount, UsageKind } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import type { Log } from '../log.ts'

/** Counts swaps, refreshes and requests to Ellipsis Drive instead of logging each; written to the store every few seconds. */
export interface Usage {
  /**
   * Counts one swap, refresh or request.
   * @param appId `null`: the app is unknown
   * @param outcome `ok` or an error code
   */
  count(kind: UsageKind, appId: string | null, outcome: string): void
  /** Records that the grant is used now. */
  touch(grantId: string): void
  /** Writes the counts to the store. */
  flush(): Promise<void>
}

const HOUR_MS = 3_600_000
/** Grants per write, which takes some milliseconds: each grant changes several database pages. */
const BATCH_SIZE = 25

export function createUsage(dependencies: { store: Store; clock: Clock; log: Log }): Usage {
  const { store, clock, log } = dependencies
  let counts = new Map<string, UsageCount>()
  let grants = new Map<string, Millis>()

  return {
    count(kind, appId, outcome) {
      const hour = Math.floor(clock.now() / HOUR_MS) * HOUR_MS
      const key = `${hour} ${kind} ${outcome} ${appId}`
      const known = counts.get(key)
      if (known) known.count++
      else counts.set(key, { appId, hour, kind, outcome, count: 1 })
    },

    touch(grantId) {
      grants.set(grantId, clock.now())
    },

    async flush() {
      if (counts.size === 0 && grants.size === 0) return
      const [countRows, used] = [[...counts.values()], [...grants]]
      counts = new Map()
      grants = new Map()
      try {
        for (let at = 0; at === 0 || at < used.length; at += BATCH_SIZE) {
          const batch = used
            .slice(at, at + BATCH_SIZE)
            .map(([id, lastUsedAt]) => ({ id, lastUsedAt }))
          await store.recordUse({ grants: batch, counts: at === 0 ? countRows : [] })
          // Let waiting requests run.
          await setImmediate()
        }
      } catch (error) {
        // The counts are only statistics: losing a few seconds of them must not fail anything.
        log.warn({ err: error }, 'usage counts of the last seconds could not be written')
      }
    },
  }
}
