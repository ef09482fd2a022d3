/**
 * The measured broker: started as `serve` does, with a monitor of its event loop. It reads its settings from
 * the environment, sends 'ready' to its parent, and answers each message with `ProcessStats`.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { startBroker } from '../../server/cli/serve.ts'
import { loadConfig, readEnvironment } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'

/** Event loop delay since the previous message, resident memory now, and processor time of the event loop so far. */
export interface ProcessStats {
  longestDelayMs: number
  p99DelayMs: number
  mebibytes: number
  cpuMs: number
}

const RESOLUTION_MS = 5
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
const config = loadConfig(readEnvironment(), { serve: true })
const broker = await startBroker(config, createLog(config))
histogram.enable()

process.on('message', () => {
  const { user, system } = process.threadCpuUsage()
  const stats: ProcessStats = {
    // The histogram has the whole interval between two ticks; the rest is the delay.
    longestDelayMs: Math.max(0, histogram.max / 1e6 - RESOLUTION_MS),
    p99DelayMs: Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS),
    mebibytes: process.memoryUsage().rss / 2 ** 20,
    cpuMs: (user + system) / 1000,
  }
  histogram.reset()
  process.send?.(stats)
})
process.on('SIGTERM', () => void broker.stop().then(() => process.exit(0)))
process.send?.('ready')
