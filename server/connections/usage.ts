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
  /** Records that the link is used now. */
  touchLink(linkId: string): void
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
  let links = new Map<string, { lastUsedAt: Millis; uses: number }>()

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

    touchLink(linkId) {
      const uses = (links.get(linkId)?.uses ?? 0) + 1
      links.set(linkId, { lastUsedAt: clock.now(), uses })
    },

    async flush() {
      if (counts.size === 0 && grants.size === 0 && links.size === 0) return
      const [countRows, used, usedLinks] = [[...counts.values()], [...grants], [...links]]
      counts = new Map()
      grants = new Map()
      links = new Map()
      try {
        const length = Math.max(used.length, usedLinks.length)
        for (let at = 0; at === 0 || at < length; at += BATCH_SIZE) {
          const batch = used
            .slice(at, at + BATCH_SIZE)
            .map(([id, lastUsedAt]) => ({ id, lastUsedAt }))
          const linkBatch = usedLinks
            .slice(at, at + BATCH_SIZE)
            .map(([id, { lastUsedAt, uses }]) => ({ id, lastUsedAt, uses }))
          const countBatch = at === 0 ? countRows : []
          await store.recordUse({ grants: batch, links: linkBatch, counts: countBatch })
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
