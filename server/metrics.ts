import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Store } from '../db/store.ts'

/** What the broker counts, chosen one by one. Times in seconds, as Prometheus has them. */
export interface Metrics {
  registry: Registry
  swaps: Counter<'outcome'>
  upstreamCalls: Histogram<'endpoint' | 'outcome'>
  /** Reads what is counted only when somebody asks. */
  update(): Promise<void>
}

export function createMetrics(
  store: Pick<Store, 'countConnections'>,
  build: { version: string; commit: string | null },
): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const swaps = new Counter({
    name: 'ellipsis_broker_swaps_total',
    help: 'Swaps by outcome: ok, or an error code.',
    labelNames: ['outcome'] as const,
    registers,
  })
  const upstreamCalls = new Histogram({
    name: 'ellipsis_broker_upstream_call_seconds',
    help: 'Calls of Ellipsis Drive by endpoint and outcome.',
    labelNames: ['endpoint', 'outcome'] as const,
    buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
    registers,
  })
  const connections = new Gauge({
    name: 'ellipsis_broker_connections',
    help: 'Connections by status.',
    labelNames: ['status'] as const,
    registers,
  })
  const info = new Gauge({
    name: 'ellipsis_broker_build_info',
    help: 'Always 1; the labels say which build this is.',
    labelNames: ['version', 'commit'] as const,
    registers,
  })
  info.set({ version: build.version, commit: build.commit ?? 'unknown' }, 1)

  return {
    registry,
    swaps,
    upstreamCalls,
    async update() {
      for (const [status, count] of Object.entries(await store.countConnections())) {
        connections.set({ status }, count)
      }
    },
  }
}
