import { Counter } from 'prom-client'
import type { Registry } from 'prom-client'
import { FastHistogram } from './fast-histogram.ts'

/** What is counted of each swap; on every swap's way, so it costs next to nothing. */
export interface SwapMetrics {
  /** One swap begins. Answers when, for `end`. */
  begin(): number
  /** It ended: that app's (`null`: none is proven), with that outcome: `ok`, or an error code. */
  end(beganAt: number, appId: string | null, outcome: string): void
}

/** Apps that have a label of their own; a host with more sees the rest as one. */
const NAMED = 200
const OTHER = 'other'

export function createSwapMetrics(registry: Registry): SwapMetrics {
  const counts = new Map<string, Map<string, number>>()
  const apps = new Set<string>()
  new Counter({
    name: 'ellipsis_broker_swaps_total',
    help: `Swaps by app (those beyond ${NAMED}, and requests that prove none: ${OTHER}) and outcome: ok, or an error code.`,
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
    help: 'Time that swaps take, refreshes included, whatever their outcome.',
    buckets: [
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
    ],
    registry,
  })

  const labelOf = (appId: string | null): string => {
    if (appId === null) return OTHER
    if (apps.has(appId)) return appId
    if (apps.size >= NAMED) return OTHER
    apps.add(appId)
    return appId
  }

  return {
    begin: () => performance.now(),

    end(beganAt, appId, outcome) {
      seconds.observe((performance.now() - beganAt) / 1000)
      const app = labelOf(appId)
      const byApp = counts.get(outcome) ?? new Map<string, number>()
      if (byApp.size === 0) counts.set(outcome, byApp)
      byApp.set(app, (byApp.get(app) ?? 0) + 1)
    },
  }
}
