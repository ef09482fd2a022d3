/**
 * A broker of the measurement's own: as `serve` makes it, with a watch on its event loop. Its settings come
 * from the environment; it tells its parent when it is ready, and how long the loop stood still.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { startBroker } from '../../server/cli/serve.ts'
import { loadConfig, readEnvironment } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'

/** Told on `{ ask: 'loop' }`: milliseconds since the last time it was asked. */
export interface LoopDelay {
  longest: number
  p99: number
  mebibytes: number
}

const resolution = 5
const delay = monitorEventLoopDelay({ resolution })
const config = loadConfig(readEnvironment(), { serve: true })
const broker = await startBroker(config, createLog(config))
delay.enable()

process.on('message', () => {
  const told: LoopDelay = {
    // The histogram counts the whole interval between two ticks; what is beyond it is the delay.
    longest: Math.max(0, delay.max / 1e6 - resolution),
    p99: Math.max(0, delay.percentile(99) / 1e6 - resolution),
    mebibytes: process.memoryUsage().rss / 2 ** 20,
  }
  delay.reset()
  process.send?.(told)
})
process.on('SIGTERM', () => void broker.stop().then(() => process.exit(0)))
process.send?.('ready')
