import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Metric, MetricObjectWithValues, MetricValue } from 'prom-client'
import type { Store } from '../../db/store.ts'
import type { CircuitBreaker, CircuitBreakerState } from '../refresh/circuit-breaker.ts'
import type { RefreshResult } from '../refresh/refresh-outcome.ts'
import { addProcessMetrics } from './process.ts'
import { SHARED, readWithin } from './read.ts'
import { createDriveMetrics } from './drive.ts'
import type { DriveMetrics } from './drive.ts'
import { createSwapMetrics } from './swaps.ts'
import type { SwapMetrics } from './swaps.ts'

/** The broker's metrics. Times are in seconds, as Prometheus requires. */
export interface Metrics {
  registry: Registry
  swaps: SwapMetrics
  drive: DriveMetrics
  refreshes: Counter<'result'>
  upstreamCalls: Histogram<'endpoint' | 'outcome'>
  /** HTML pages, by route and status class such as `4xx`. */
  pages: Histogram<'route' | 'status'>
  /** What this process knows and others don't, for the sums over workers. */
  collect(): Promise<WorkerMetrics>
  /** All metrics in Prometheus' format; with workers, over all of them. */
  text(): Promise<string>
}

/** Metrics of one process with their values. */
export type WorkerMetrics = MetricObjectWithValues<MetricValue<string>>[]

/** Reads the metrics of the other workers. */
export type GatherMetrics = (own: WorkerMetrics) => Promise<WorkerMetrics[]>

const BREAKER_STATES: CircuitBreakerState[] = ['closed', 'open', 'half-open']
/** Each starts at 0, so that Prometheus sees the first occurrence as an increase. */
const REFRESH_RESULTS: RefreshResult[] = [
  'ok',
  'recovered',
  'failed',
  'refused',
  'answer_lost',
  'misconfigured',
  'superseded',
]

/**
 * Creates the metrics in a registry of their own.
 * @param gather `undefined`: there are no other workers
 */
export function createMetrics(
  store: Pick<Store, 'countConnections'>,
  build: { version: string; commit: string | null },
  breaker: Pick<CircuitBreaker, 'state'>,
  gather?: GatherMetrics,
): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const swaps = createSwapMetrics(registry)
  const drive = createDriveMetrics(registry)
  const refreshes = new Counter({
    name: 'ellipsis_broker_refreshes_total',
    help: 'Refreshes by result; answer_lost: rejected after an earlier response was lost.',
    labelNames: ['result'] as const,
    registers,
  })
  for (const result of REFRESH_RESULTS) refreshes.inc({ result }, 0)
  new Gauge({
    name: 'ellipsis_broker_breaker',
    help: 'Circuit breaker for Ellipsis Drive: 1 for its current state.',
    labelNames: ['state'] as const,
    aggregator: 'max',
    registers,
    collect() {
      for (const state of BREAKER_STATES) this.set({ state }, Number(state === breaker.state()))
    },
  })
  const upstreamCalls = new Histogram({
    name: 'ellipsis_broker_upstream_call_seconds',
    help: 'Calls to Ellipsis Drive by endpoint and outcome.',
    labelNames: ['endpoint', 'outcome'] as const,
    buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
    registers,
  })
  const pages = new Histogram({
    name: 'ellipsis_broker_page_seconds',
    help: 'HTML pages by route and status class.',
    labelNames: ['route', 'status'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  new Gauge({
    name: 'ellipsis_broker_connections',
    help: 'Connections by status.',
    labelNames: ['status'] as const,
    aggregator: SHARED,
    registers,
    // Counted only when the metrics are read.
    async collect() {
      const counts = await readWithin(() => store.countConnections())
      this.reset()
      for (const [status, count] of Object.entries(counts ?? {})) this.set({ status }, count)
    },
  })
  const info = new Gauge({
    name: 'ellipsis_broker_build_info',
    help: 'Always 1; the labels name the build.',
    labelNames: ['version', 'commit', 'node'] as const,
    aggregator: 'max',
    registers,
  })
  const { version, commit } = build
  info.set({ version, commit: commit ?? 'unknown', node: process.version }, 1)
  addProcessMetrics(registry)

  const collect = (): Promise<WorkerMetrics> => {
    const own = registry.getMetricsAsArray().filter(({ aggregator }) => aggregator !== SHARED)
    return Promise.all(own.map((metric) => (metric as unknown as Metric).get()))
  }
  const text = async (): Promise<string> => {
    if (!gather) return registry.metrics()
    const all: WorkerMetrics = await registry.getMetricsAsJSON()
    const own = all.filter(({ aggregator }) => aggregator !== SHARED)
    const others = (await readWithin(() => gather(own))) ?? []
    return AggregatorRegistry.aggregate([all, ...others]).metrics()
  }
  return { registry, swaps, drive, refreshes, upstreamCalls, pages, collect, text }
}
