import { and, eq, gte, ne, sql } from 'drizzle-orm'
import { upstreamState, usage } from './schema.ts'
import type { Millis, Store, UpstreamState } from '../store.ts'
import { mergeUpstream } from '../upstream-state.ts'
import type { Engine } from './engine.ts'

/** What `app_id` is in the counts of all apps together. */
export const ALL_APPS = ''

const NOTHING: UpstreamState = {
  answeredAt: null,
  failedAt: null,
  failingSince: null,
  lastError: null,
}

type Methods = 'sumUsage' | 'sumUsageByApp' | 'recordUpstream' | 'getUpstream'

/** What was counted as it happened. Swaps add to it: see swap.ts. */
export function usageMethods({ db, read, write }: Engine): Pick<Store, Methods> {
  const { kind, outcome } = usage
  const count = sql<number>`sum(${usage.count})`

  const getUpstream = () => {
    const { answeredAt, failedAt, failingSince, lastError } = upstreamState
    return db.select({ answeredAt, failedAt, failingSince, lastError }).from(upstreamState).get()
  }

  return {
    sumUsage: ({ appId, since, stretch }) =>
      read(() => {
        const start = sql<Millis>`${usage.hour} - (${usage.hour} - ${since}) % ${stretch}`
        return db
          .select({ start, kind, outcome, count })
          .from(usage)
          .where(and(eq(usage.appId, appId ?? ALL_APPS), gte(usage.hour, since)))
          .groupBy(sql`1, 2, 3`)
          .all()
      }),

    sumUsageByApp: (since) =>
      read(() =>
        db
          .select({ appId: usage.appId, kind, outcome, count })
          .from(usage)
          .where(and(gte(usage.hour, since), ne(usage.appId, ALL_APPS)))
          .groupBy(sql`1, 2, 3`)
          .all(),
      ),

    recordUpstream: (seen) =>
      write(() => {
        const state = { id: 1, ...mergeUpstream(getUpstream() ?? NOTHING, seen) }
        db.insert(upstreamState)
          .values(state)
          .onConflictDoUpdate({ target: upstreamState.id, set: state })
          .run()
      }),

    getUpstream: () => read(() => getUpstream() ?? NOTHING),
  }
}
