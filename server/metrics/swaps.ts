import { Counter } from 'prom-client'
import type { Registry } from 'prom-client'
import { FastHistogram } from './fast-histogram.ts'

/** Counts and times swaps. On the hot path of every swap. */
export interface SwapMetrics {
  /** Starts timing a swap. Returns the start time for `end`. */
  begin(): number
  /**
   * Records a swap.
   * @param appId `null`: no app is authenticated
   * @param outcome `ok`, or an error code
   */
  end(startedAt: number, appId: string | null, outcome: string): void
}

/** Apps with their own label; all others share one. */
const MAX_LABELED_APPS = 200
const OTHER_APPS = 'other'

export function createSwapMetrics(registry: Registry): SwapMetrics {
  /** By outcome, then by app. */
  const counts = new Map<string, Map<string, number>>()
  const apps = new Set<string>()
  new Counter({
    name: 'ellipsis_broker_swaps_total',
    help: `Swaps by app and outcome (ok, or an error code). ${OTHER_APPS}: apps after the first ${MAX_LABELED_APPS}, and requests without an authenticated app.`,
    labelNames: ['app', 'outcome'] as const,
    registers: [registry],
    collect() {
      this.reset()
      for (const [outcome, byApp] of counts) {
        for (const [app, count] of byApp) this.inc({ app, outcome }, count)
      }
    },
  })
  const seconds = new FastHistogram({
    name: 'ellipsis_broker_swap_seconds',
    help: 'Duration of swaps with any outcome, refreshes included.',
    buckets: [
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
    ],
    registry,
  })

  const labelOf = (appId: string | null): string => {
    if (appId === null) return OTHER_APPS
    if (apps.has(appId)) return appId
    if (apps.size >= MAX_LABELED_APPS) return OTHER_APPS
    apps.add(appId)
    return appId
  }

  return {
    begin: () => performance.now(),

    end(startedAt, appId, outcome) {
      seconds.observe((performance.now() - startedAt) / 1000)
      const app = labelOf(appId)
      const byApp = counts.get(outcome) ?? new Map<string, number>()
      if (byApp.size === 0) counts.set(outcome, byApp)
      byApp.set(app, (byApp.get(app) ?? 0) + 1)
    },
  }
}
