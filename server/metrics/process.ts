import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Counter, Gauge } from 'prom-client'
import type { Aggregator, Registry } from 'prom-client'

const EVENT_LOOP_SAMPLING_MS = 20

/** Adds metrics of the process, under the usual names of Node.js dashboards. */
export function addProcessMetrics(registry: Registry): void {
  const registers = [registry]
  /** @param aggregator over workers */
  const gauge = (name: string, help: string, read: () => number, aggregator: Aggregator = 'sum') =>
    new Gauge({
      name,
      help,
      aggregator,
      registers,
      collect() {
        this.set(read())
      },
    })
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(read())
      },
    })

  const startedAt = Date.now() - process.uptime() * 1000
  const startTime = 'Start time of the process in Unix seconds.'
  gauge('process_start_time_seconds', startTime, () => Math.round(startedAt / 1000), 'min')
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  gauge('nodejs_heap_used_bytes', 'JavaScript heap in use.', () => process.memoryUsage().heapUsed)
  counter('process_cpu_seconds_total', 'CPU time, user and system.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  counter(
    'nodejs_eventloop_active_seconds_total',
    'Time that the event loop was busy; its rate is the utilization.',
    () => performance.eventLoopUtilization().active / 1000,
  )
  const delay = monitorEventLoopDelay({ resolution: EVENT_LOOP_SAMPLING_MS })
  delay.enable()
  gauge(
    'nodejs_eventloop_lag_p99_seconds',
    'Event loop delay since the metrics were last read, 99th percentile.',
    () => {
      // The histogram measures the whole time between two samples.
      const delaySeconds = delay.percentile(99) / 1e9 - EVENT_LOOP_SAMPLING_MS / 1000
      delay.reset()
      return Math.max(0, delaySeconds)
    },
    'max',
  )
}
