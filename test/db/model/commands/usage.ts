import type { UsageCount } from '../../../../db/store.ts'
import { call, DAY, HOUR, MINUTE } from './context.ts'
import type { Command, Context } from './context.ts'

const hourOf = (now: number): number => Math.floor(now / HOUR) * HOUR

const count = (at: Context): UsageCount => ({
  ...{ appId: at.choose(null, 'app 1', 'app 2'), hour: hourOf(at.now - at.choose(0, HOUR)) },
  ...{ kind: at.choose('swap', 'refresh', 'drive'), outcome: at.choose('ok', 'token_refused') },
  count: 1 + at.below(3),
})

export const usageCommands: Record<string, Command> = {
  recordUse: (at) => {
    const lastUsedAt = at.now - at.choose(0, MINUTE)
    const ids = new Set([at.grantId(), at.grantId()])
    const link = { id: at.one(at.tables.links.keys()) ?? 'none', lastUsedAt, uses: 2 }
    return call('recordUse', {
      grants: at.some(ids).map((id) => ({ id, lastUsedAt })),
      counts: [count(at), count(at)],
      ...(at.chance(50) && { links: [link] }),
    })
  },

  sumUsage: (at) =>
    call('sumUsage', {
      ...at.choose<{ appId?: string | null }>({}, { appId: null }, { appId: 'app 1' }),
      ...at.choose({}, { stretchMs: DAY }, { stretchMs: HOUR }),
      since: hourOf(at.now - at.choose(HOUR, 2 * DAY)),
    }),

  addToCounters: (at) =>
    call(
      'addToCounters',
      at.some(['counter 1', 'counter 2']).map((key) => ({
        ...{ key, add: at.below(4), until: hourOf(at.now) + HOUR },
      })),
    ),

  getCounters: (at) => call('getCounters', ['counter 1', 'none', 'counter 2'], at.now),

  recordUpstream: (at) => {
    const times = [null, at.now, at.now - MINUTE, at.now - HOUR] as const
    const failedAt = at.choose(...times)
    return call('recordUpstream', {
      ...{ answeredAt: at.choose(...times), failedAt },
      failingSince: failedAt === null ? null : at.choose(null, failedAt, failedAt - MINUTE),
      lastError: failedAt === null ? null : at.choose('timeout', 'reset'),
    })
  },
}
