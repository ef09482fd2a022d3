import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Counter, Gauge } from 'prom-client'
import type { Registry } from 'prom-client'

/** Milliseconds between two looks at the event loop. */
const RESOLUTION = 20

/** What the process itself is doing, under the names that dashboards know. */
export function addProcessMetrics(registry: Registry): void {
  const registers = [registry]
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
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
  gauge('process_start_time_seconds', 'When the process began, in Unix seconds.', () =>
    Math.round(startedAt / 1000),
  )
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  gauge('nodejs_heap_used_bytes', 'JavaScript’s heap in use.', () => process.memoryUsage().heapUsed)
  counter('process_cpu_seconds_total', 'Processor time, user and system.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  counter(
    'nodejs_eventloop_active_seconds_total',
    'Time that the event loop was busy; its rate is the utilization.',
    () => performance.eventLoopUtilization().active / 1000,
  )
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  gauge(
    'nodejs_eventloop_lag_p99_seconds',
    'How late the event loop was since the last look at these figures, 99th percentile.',
    () => {
      // What is measured is the whole pause between two looks.
      const late = delay.percentile(99) / 1e9 - RESOLUTION / 1000
      delay.reset()
      return Math.max(0, late)
    },
  )
}
