import { mergeUpstream } from '../../../../db/upstream-state.ts'
import type { Millis, UsageSum } from '../../../../db/store.ts'
import { sortBy } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

const MINUTE_MS = 60_000

type Methods =
  'recordUse' | 'sumUsage' | 'addToCounters' | 'getCounters' | 'recordUpstream' | 'getUpstream'

export const usageRules = (tables: Tables): Answering<Methods> => ({
  recordUse({ grants, counts, links = [] }) {
    for (const { id, lastUsedAt } of grants) {
      const grant = tables.grants.get(id)
      if (!grant) continue
      tables.grants.set(id, { ...grant, lastUsedAt: latest(grant.lastUsedAt, lastUsedAt) })
      const connection = tables.connections.get(grant.connectionId)
      // Accurate to the minute.
      if (connection && (connection.lastUsedAt ?? 0) + MINUTE_MS <= lastUsedAt)
        tables.connections.set(connection.id, { ...connection, lastUsedAt })
    }
    for (const { id, lastUsedAt, uses } of links) {
      const link = tables.links.get(id)
      if (!link) continue
      const used = { uses: link.uses + uses, lastUsedAt: latest(link.lastUsedAt, lastUsedAt) }
      tables.links.set(id, { ...link, ...used })
    }
    tables.usage.push(...counts)
  },

  sumUsage({ appId, since, stretchMs }) {
    const sums = new Map<string, UsageSum>()
    for (const use of tables.usage) {
      if (use.hour < since) continue
      // What belongs to no app counts in the total only.
      if (appId === undefined ? use.appId === null : appId !== null && use.appId !== appId) continue
      const start =
        stretchMs === undefined
          ? since
          : since + Math.floor((use.hour - since) / stretchMs) * stretchMs
      const { kind, outcome } = use
      const group = { appId: appId === undefined ? use.appId : appId, start, kind, outcome }
      const key = JSON.stringify(group)
      sums.set(key, { ...group, count: (sums.get(key)?.count ?? 0) + use.count })
    }
    return sortBy(
      sums.values(),
      ({ appId }) => appId,
      ({ start }) => start,
      ({ kind }) => kind,
      ({ outcome }) => outcome,
    )
  },

  addToCounters: (counters) =>
    counters.map(({ key, add, until }) => {
      const known = tables.counters.get(key)
      const current = known && known.until >= until ? known : { total: 0, until }
      const total = current.total + add
      tables.counters.set(key, { ...current, total })
      return total
    }),

  getCounters: (keys, now) =>
    keys.map((key) => {
      const { total, until } = tables.counters.get(key) ?? { total: 0, until: 0 }
      return until > now ? total : 0
    }),

  recordUpstream(seen) {
    tables.upstream = mergeUpstream(tables.upstream, seen)
  },

  getUpstream: () => tables.upstream,
})

const latest = (one: Millis | null, other: Millis): Millis => Math.max(one ?? 0, other)
