import { Counter, Gauge } from 'prom-client'
import type { Registry } from 'prom-client'
import type { Limit } from '../drive/budget.ts'
import type { CacheCounters, CacheResult } from '../drive/cache.ts'

const RESULTS: CacheResult[] = ['hit', 'revalidated', 'miss', 'bypass']
const LIMITS: Limit[] = ['app_minute', 'app_day', 'connection_minute', 'connection_day']

/** Counts what the cache saves and what budgets refuse. Each counter starts at 0. */
export function createDriveCacheMetrics(registry: Registry): {
  cache: CacheCounters
  onRefused: (limit: Limit) => void
} {
  const registers = [registry]
  const requests = new Counter({
    name: 'ellipsis_broker_drive_cache_requests_total',
    help: 'Requests for the Ellipsis Drive API by how they were answered; only miss and bypass cost a whole answer.',
    labelNames: ['result'] as const,
    registers,
  })
  for (const result of RESULTS) requests.inc({ result }, 0)
  const served = new Counter({
    name: 'ellipsis_broker_drive_cache_served_bytes_total',
    help: 'Bytes of answers that came from the cache.',
    registers,
  })
  const evictions = new Counter({
    name: 'ellipsis_broker_drive_cache_evictions_total',
    help: 'Answers that were removed from the cache to make room.',
    registers,
  })
  const refused = new Counter({
    name: 'ellipsis_broker_drive_budget_refused_total',
    help: 'Requests that were refused because a budget of an app or connection was used up.',
    labelNames: ['limit'] as const,
    registers,
  })
  for (const limit of LIMITS) refused.inc({ limit }, 0)
  return {
    cache: {
      request: (result) => requests.inc({ result }),
      served: (bytes) => served.inc(bytes),
      evicted: () => evictions.inc(),
    },
    onRefused: (limit) => refused.inc({ limit }),
  }
}

/** The size of the cache, as far as this process knows. */
export function addCacheSizeMetric(registry: Registry, sizeBytes: () => number): void {
  new Gauge({
    name: 'ellipsis_broker_drive_cache_bytes',
    help: 'Size of the cache on disk.',
    aggregator: 'max',
    registers: [registry],
    collect() {
      this.set(sizeBytes())
    },
  })
}
