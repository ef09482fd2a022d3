import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Store } from '../../db/store.ts'
import type { CircuitBreaker, CircuitBreakerState } from '../refresh/circuit-breaker.ts'
import type { RefreshResult } from '../refresh/refresh-outcome.ts'
import { addProcessMetrics } from './process.ts'
import { createSwapMetrics } from './swaps.ts'
import type { SwapMetrics } from './swaps.ts'

/** What the broker counts, chosen one by one. Times in seconds, as Prometheus has them. */
export interface Metrics {
  registry: Registry
  swaps: SwapMetrics
  refreshes: Counter<'result'>
  upstreamCalls: Histogram<'endpoint' | 'outcome'>
  /** Pages for people, by route and status class such as `4xx`. */
  pages: Histogram<'route' | 'status'>
}

const STATES: CircuitBreakerState[] = ['closed', 'open', 'half-open']
/** Counted from the start on, so that the first of them is seen as a rise. */
const RESULTS: RefreshResult[] = [
  'ok',
  'recovered',
  'failed',
  'refused',
  'answer_lost',
  'misconfigured',
  'superseded',
]

export function createMetrics(
  store: Pick<Store, 'countConnections'>,
  build: { version: string; commit: string | null },
  breaker: Pick<CircuitBreaker, 'state'>,
): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const swaps = createSwapMetrics(registry)
  const refreshes = new Counter({
    name: 'ellipsis_broker_refreshes_total',
    help: 'Refreshes by result; answer_lost: refused, and an earlier answer had been lost.',
    labelNames: ['result'] as const,
    registers,
  })
  for (const result of RESULTS) refreshes.inc({ result }, 0)
  new Gauge({
    name: 'ellipsis_broker_breaker',
    help: 'Circuit breaker before Ellipsis Drive: 1 for the state that it is in.',
    labelNames: ['state'] as const,
    registers,
    collect() {
      for (const state of STATES) this.set({ state }, Number(state === breaker.state()))
    },
  })
  const upstreamCalls = new Histogram({
    name: 'ellipsis_broker_upstream_call_seconds',
    help: 'Calls of Ellipsis Drive by endpoint and outcome.',
    labelNames: ['endpoint', 'outcome'] as const,
    buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
    registers,
  })
  const pages = new Histogram({
    name: 'ellipsis_broker_page_seconds',
    help: 'Pages for people, by route and class of status.',
    labelNames: ['route', 'status'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  new Gauge({
    name: 'ellipsis_broker_connections',
    help: 'Connections by status.',
    labelNames: ['status'] as const,
    registers,
    // Read only when somebody asks.
    async collect() {
      for (const [status, count] of Object.entries(await store.countConnections())) {
        this.set({ status }, count)
      }
    },
  })
  const info = new Gauge({
    name: 'ellipsis_broker_build_info',
    help: 'Always 1; the labels say which build this is.',
    labelNames: ['version', 'commit', 'node'] as const,
    registers,
  })
  const { version, commit } = build
  info.set({ version, commit: commit ?? 'unknown', node: process.version }, 1)
  addProcessMetrics(registry)

  return { registry, swaps, refreshes, upstreamCalls, pages }
}
