import { setImmediate } from 'node:timers/promises'
import type { Millis, Store, UsageCount, UsageKind } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import type { Log } from '../log.ts'

/** Counts swaps and refreshes instead of logging them; written in one go every few seconds. */
export interface Usage {
  /** One of that app's ended with that outcome: `ok`, or an error code. `null`: no app is known. */
  count(kind: UsageKind, appId: string | null, outcome: string): void
  /** That grant was used now. */
  touch(grantId: string): void
  /** Writes what was counted. */
  flush(): Promise<void>
}

const HOUR = 3_600_000
/** Grants a write, some milliseconds: each changes several pages. */
const BATCH = 25

export function createUsage(needs: { store: Store; clock: Clock; log: Log }): Usage {
  const { store, clock, log } = needs
  let counts = new Map<string, UsageCount>()
  let grants = new Map<string, Millis>()

  return {
    count(kind, appId, outcome) {
      const hour = Math.floor(clock.now() / HOUR) * HOUR
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
        for (let at = 0; at === 0 || at < used.length; at += BATCH) {
          const batch = used.slice(at, at + BATCH).map(([id, lastUsedAt]) => ({ id, lastUsedAt }))
          await store.recordUse({ grants: batch, counts: at === 0 ? countRows : [] })
          // Others have their turn.
          await setImmediate()
        }
      } catch (error) {
        // Counts are for people: losing some seconds of them is no reason to fail.
        log.warn({ err: error }, 'the last seconds of usage could not be written')
      }
    },
  }
}
