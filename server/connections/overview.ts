import type { App, BulkRevocation, ConnectionStatus, Millis, Store } from '../../db/store.ts'
import type { UpstreamState } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import { troubleNow } from '../refresh/upstream-status.ts'
import type { UpstreamStatus } from '../refresh/upstream-status.ts'

/** How far back, and in stretches of how many hours. */
export const PERIODS = {
  '24h': { stretches: 24, hours: 1 },
  '7d': { stretches: 28, hours: 6 },
  '30d': { stretches: 30, hours: 24 },
} as const

export type Period = keyof typeof PERIODS

/** What happened in one stretch of time. */
export interface UsageStretch {
  start: Millis
  /** Access tokens handed out. */
  swaps: number
  /** Calls of Ellipsis Drive that brought new tokens. */
  refreshes: number
  /** Swaps and refreshes that failed. */
  failures: number
}

/** What an admin has to know first. */
export type Attention =
  | { kind: 'upstream'; since: Millis; error: string }
  | { kind: 'app_failures'; app: Pick<App, 'id' | 'name'>; failed: number; of: number }
  | { kind: 'needs_reconnect'; count: number }
  | { kind: 'bulk'; bulk: BulkRevocation }
  | { kind: 'erasure_pending' }
  | { kind: 'secret_ending'; app: Pick<App, 'id' | 'name'>; at: Millis }
  | { kind: 'no_second_factor'; emails: string[] }
  | { kind: 'no_apps' }

/** How the broker does, at a glance. */
export interface Overview {
  /** Connections by status, all or an app's. */
  counts(appId?: string): Promise<Record<ConnectionStatus, number>>
  /** What was swapped and refreshed, all or an app's; every stretch of the period, the oldest first. */
  usage(period: Period, appId?: string): Promise<UsageStretch[]>
  upstream(): Promise<UpstreamState>
  /** The most pressing first. */
  attention(): Promise<Attention[]>
  /** Of that, what concerns an app alone. */
  attentionOf(app: App): Promise<Attention[]>
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** An app is told of when so many of its swaps failed within a day, and this part of them. */
const FAILURES = { count: 5, share: 0.02 }
const APPS_TOLD = 5
/** How long before an app's old secret ends it is told. */
const SECRET_ENDS_WITHIN = 7 * DAY

export function createOverview(needs: {
  store: Store
  upstream: UpstreamStatus
  clock: Clock
}): Overview {
  const { store, upstream, clock } = needs

  const failingApps = async (apps: App[]): Promise<Attention[]> => {
    const sums = await store.sumUsage({ since: hourOf(clock.now()) - DAY })
    const swaps = sums.filter(({ kind }) => kind === 'swap')
    return [...Map.groupBy(swaps, ({ appId }) => appId)]
      .flatMap(([appId, outcomes]) => {
        const app = apps.find(({ id }) => id === appId)
        const add = (list: typeof outcomes) => list.reduce((sum, { count }) => sum + count, 0)
        const failed = add(outcomes.filter(({ outcome }) => outcome !== 'ok'))
        return app ? [{ kind: 'app_failures' as const, app, failed, of: add(outcomes) }] : []
      })
      .filter(({ failed, of }) => failed >= FAILURES.count && failed >= of * FAILURES.share)
      .sort((one, other) => other.failed - one.failed)
      .slice(0, APPS_TOLD)
  }

  const endingSecrets = (apps: App[]): Attention[] =>
    apps.flatMap((app) =>
      app.secrets.flatMap(({ expiresAt: at }) => {
        const left = (at ?? Infinity) - clock.now()
        const isEnding = at !== null && left > 0 && left < SECRET_ENDS_WITHIN
        return isEnding ? [{ kind: 'secret_ending', app, at }] : []
      }),
    )

  const unprotected = async (): Promise<Attention[]> => {
    const admins = await store.listAdmins()
    const without = admins.filter((admin) => admin.secondFactorSince === null)
    const emails = without.map(({ email }) => email)
    return emails.length === 0 ? [] : [{ kind: 'no_second_factor', emails }]
  }

  const needReconnecting = async (appId: string | null): Promise<Attention[]> => {
    const { needs_reconnect: count } = await store.countConnections(appId)
    return count === 0 ? [] : [{ kind: 'needs_reconnect', count }]
  }

  const bulks = async (): Promise<Attention[]> => {
    const ended = ['done', 'cancelled']
    const live = (await store.listBulks(10)).filter(({ status }) => !ended.includes(status))
    return live.map((bulk) => ({ kind: 'bulk', bulk }))
  }

  return {
    counts: (appId) => store.countConnections(appId ?? null),

    async usage(period, appId) {
      const { stretches, hours } = PERIODS[period]
      const stretchMs = hours * HOUR
      const since = hourOf(clock.now()) + HOUR - stretches * stretchMs
      const sums = await store.sumUsage({ appId: appId ?? null, since, stretchMs })
      return Array.from({ length: stretches }, (_, index) => {
        const start = since + index * stretchMs
        const own = sums.filter((sum) => sum.start === start)
        const add = (isMeant: (sum: (typeof own)[number]) => boolean) =>
          own.filter(isMeant).reduce((sum, { count }) => sum + count, 0)
        return {
          start,
          swaps: add(({ kind, outcome }) => kind === 'swap' && outcome === 'ok'),
          refreshes: add(({ kind, outcome }) => kind === 'refresh' && outcome === 'ok'),
          failures: add(({ outcome }) => outcome !== 'ok'),
        }
      })
    },

    upstream: () => upstream.state(),

    async attention() {
      const [apps, state] = await Promise.all([store.listApps(), upstream.state()])
      const trouble = troubleNow(state)
      const pending = await store.isErasurePending()
      return [
        ...(trouble ? [{ kind: 'upstream' as const, ...trouble }] : []),
        ...(await failingApps(apps)),
        ...(await needReconnecting(null)),
        ...(await bulks()),
        ...(pending ? [{ kind: 'erasure_pending' as const }] : []),
        ...endingSecrets(apps),
        ...(await unprotected()),
        ...(apps.length === 0 ? [{ kind: 'no_apps' as const }] : []),
      ]
    },

    attentionOf: async (app) => [
      ...(await failingApps([app])),
      ...(await needReconnecting(app.id)),
      ...endingSecrets([app]),
    ],
  }
}

const hourOf = (at: Millis): Millis => Math.floor(at / HOUR) * HOUR
