import { COMMAND_SINK_ID } from '../../db/event-types.ts'
import type { App, BulkRevocation, ConnectionStatus, Millis, Store } from '../../db/store.ts'
import type { UpstreamState } from '../../db/store.ts'
import { hasPassword, hasSecondFactor } from '../admin/admins.ts'
import { GONE_REASON } from '../events/webhooks.ts'
import type { Clock } from '../runtime.ts'
import { currentProblem } from '../refresh/upstream-status.ts'
import type { UpstreamStatus } from '../refresh/upstream-status.ts'

/** Periods of the usage chart: the number of intervals, and the hours in each. */
const PERIODS = {
  '24h': { intervals: 24, hours: 1 },
  '7d': { intervals: 28, hours: 6 },
  '30d': { intervals: 30, hours: 24 },
} as const

export type Period = keyof typeof PERIODS

/** Usage in one interval. */
export interface UsageInterval {
  start: Millis
  /** Access tokens issued to apps. */
  swaps: number
  /** Requests through the proxy and by links that got an answer. */
  proxied: number
  /** Successful refreshes at Ellipsis Drive. */
  refreshes: number
  /** Failed swaps, refreshes and requests through the proxy. */
  failures: number
}

/** Something that an admin should look at. */
export type Attention =
  | { kind: 'upstream'; since: Millis; error: string }
  | { kind: 'app_failures'; app: Pick<App, 'id' | 'name'>; failed: number; of: number }
  | { kind: 'needs_reconnect'; count: number }
  | { kind: 'undelivered'; sink: { id: string; name: string }; since: Millis }
  | { kind: 'endpoint_gone'; sink: { id: string; name: string }; at: Millis }
  | { kind: 'bulk'; bulk: BulkRevocation }
  | { kind: 'erasure_pending' }
  | { kind: 'secret_ending'; app: Pick<App, 'id' | 'name'>; at: Millis }
  | { kind: 'no_second_factor'; emails: string[] }
  | { kind: 'no_apps' }

/** What the first page of the dashboard shows. */
export interface Summary {
  /** Number of connections by status. */
  counts: Record<ConnectionStatus, number>
  upstream: UpstreamState
  /** The most urgent first. */
  attention: Attention[]
}

/** The state of the broker, for the dashboard. */
export interface Overview {
  summary(): Promise<Summary>
  /** Number of connections of one app by status. */
  counts(appId: string): Promise<Summary['counts']>
  /** Usage of all apps or of one, by interval of the period, oldest first. */
  usage(period: Period, appId?: string): Promise<UsageInterval[]>
  /** The items of `attention` that concern this app. */
  attentionOf(app: App): Promise<Attention[]>
}

type UsageSum = Awaited<ReturnType<Store['sumUsage']>>[number]

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** An app is listed if, within a day, at least this many and this share of its swaps failed. */
const MIN_FAILURES = { count: 5, share: 0.02 }
const MAX_FAILING_APPS = 5
/** An app's old secret is listed this long before it expires. */
const SECRET_WARNING_MS = 7 * DAY_MS
const BULK_LIMIT = 10
const MAX_FAILING_SINKS = 5

export function createOverview(dependencies: {
  store: Store
  upstream: UpstreamStatus
  clock: Clock
  /** May admins sign in with passwords? Otherwise the identity provider is responsible for second factors. */
  passwords: boolean
  /** The program that gets events (`BROKER_ON_EVENT`); `null`: none. */
  command: string | null
}): Overview {
  const { store, upstream, clock, passwords, command } = dependencies

  const sumLastDay = () => store.sumUsage({ since: hourOf(clock.now()) - DAY_MS })

  const findFailingApps = (apps: App[], sums: UsageSum[]): Attention[] => {
    const swaps = sums.filter(({ kind }) => kind === 'swap')
    return [...Map.groupBy(swaps, ({ appId }) => appId)]
      .flatMap(([appId, outcomes]) => {
        const app = apps.find(({ id }) => id === appId)
        const total = (list: typeof outcomes) => list.reduce((sum, { count }) => sum + count, 0)
        const failed = total(outcomes.filter(({ outcome }) => outcome !== 'ok'))
        return app ? [{ kind: 'app_failures' as const, app, failed, of: total(outcomes) }] : []
      })
      .filter(({ failed, of }) => failed >= MIN_FAILURES.count && failed >= of * MIN_FAILURES.share)
      .sort((one, other) => other.failed - one.failed)
      .slice(0, MAX_FAILING_APPS)
  }

  const findExpiringSecrets = (apps: App[]): Attention[] =>
    apps.flatMap((app) =>
      app.secrets.flatMap(({ expiresAt: at }) => {
        const remainingMs = (at ?? Infinity) - clock.now()
        const isExpiring = at !== null && remainingMs > 0 && remainingMs < SECRET_WARNING_MS
        return isExpiring ? [{ kind: 'secret_ending', app, at }] : []
      }),
    )

  const findUnprotectedAdmins = async (): Promise<Attention[]> => {
    if (!passwords) return []
    const admins = await store.listAdmins()
    const without = admins.filter((admin) => hasPassword(admin) && !hasSecondFactor(admin))
    const emails = without.map(({ email }) => email)
    return emails.length === 0 ? [] : [{ kind: 'no_second_factor', emails }]
  }

  const findNeedsReconnect = ({ needs_reconnect: count }: Summary['counts']): Attention[] =>
    count === 0 ? [] : [{ kind: 'needs_reconnect', count }]

  /** The endpoints, and the program, that do not get their events. */
  const findFailingSinks = async (appId?: string): Promise<Attention[]> => {
    const webhooks = (await store.listWebhooks()).filter(
      (webhook) => appId === undefined || webhook.appId === appId,
    )
    const gone = webhooks.flatMap(({ id, url, disabledAt: at, disabledReason }) =>
      at !== null && disabledReason === GONE_REASON
        ? [{ kind: 'endpoint_gone' as const, sink: { id, name: url }, at }]
        : [],
    )
    const enabled = webhooks.filter(({ disabledAt }) => disabledAt === null)
    const sinks = [
      ...(command !== null && appId === undefined ? [{ id: COMMAND_SINK_ID, name: command }] : []),
      ...enabled.map(({ id, url: name }) => ({ id, name })),
    ]
    const counts = sinks.length === 0 ? null : await store.countDeliveries()
    const undelivered = sinks.flatMap((sink) => {
      const since = counts?.get(sink.id)?.oldestPendingAt ?? Infinity
      const isLate = clock.now() - since >= HOUR_MS
      return isLate ? [{ kind: 'undelivered' as const, sink, since }] : []
    })
    const found = undelivered.sort((one, other) => one.since - other.since)
    return [...found.slice(0, MAX_FAILING_SINKS), ...gone.slice(-MAX_FAILING_SINKS)]
  }

  const findUnfinishedBulks = async (): Promise<Attention[]> => {
    const endStatuses = ['done', 'cancelled']
    const unfinished = (await store.listBulks(BULK_LIMIT)).filter(
      ({ status }) => !endStatuses.includes(status),
    )
    return unfinished.map((bulk) => ({ kind: 'bulk', bulk }))
  }

  return {
    async summary() {
      // At the same time: on PostgreSQL each of them is a round trip.
      const [apps, state, counts, sums, sinks, bulks, isErasurePending, admins] = await Promise.all(
        [
          store.listApps(),
          upstream.state(),
          store.countConnections(),
          sumLastDay(),
          findFailingSinks(),
          findUnfinishedBulks(),
          store.isErasurePending(),
          findUnprotectedAdmins(),
        ],
      )
      const trouble = currentProblem(state)
      const attention: Attention[] = [
        ...(trouble ? [{ kind: 'upstream' as const, ...trouble }] : []),
        ...findFailingApps(apps, sums),
        ...findNeedsReconnect(counts),
        ...sinks,
        ...findExpiringSecrets(apps),
        ...(apps.length === 0 ? [{ kind: 'no_apps' as const }] : []),
        ...bulks,
        ...(isErasurePending ? [{ kind: 'erasure_pending' as const }] : []),
        ...admins,
      ]
      return { counts, upstream: state, attention }
    },

    counts: (appId) => store.countConnections(appId),

    async usage(period, appId) {
      const { intervals, hours } = PERIODS[period]
      const stretchMs = hours * HOUR_MS
      const since = hourOf(clock.now()) + HOUR_MS - intervals * stretchMs
      const sums = await store.sumUsage({ appId: appId ?? null, since, stretchMs })
      return Array.from({ length: intervals }, (_, index) => {
        const start = since + index * stretchMs
        const inInterval = sums.filter((sum) => sum.start === start)
        const total = (matches: (sum: (typeof inInterval)[number]) => boolean) =>
          inInterval.filter(matches).reduce((sum, { count }) => sum + count, 0)
        return {
          start,
          swaps: total(({ kind, outcome }) => kind === 'swap' && outcome === 'ok'),
          proxied: total(({ kind, outcome }) => kind === 'drive' && outcome === 'ok'),
          refreshes: total(({ kind, outcome }) => kind === 'refresh' && outcome === 'ok'),
          failures: total(({ outcome }) => outcome !== 'ok'),
        }
      })
    },

    async attentionOf(app) {
      const [counts, sums, sinks] = await Promise.all([
        store.countConnections(app.id),
        sumLastDay(),
        findFailingSinks(app.id),
      ])
      return [
        ...findFailingApps([app], sums),
        ...findNeedsReconnect(counts),
        ...sinks,
        ...findExpiringSecrets([app]),
      ]
    },
  }
}

const hourOf = (at: Millis): Millis => Math.floor(at / HOUR_MS) * HOUR_MS
