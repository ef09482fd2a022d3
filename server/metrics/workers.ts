import { AggregatorRegistry } from 'prom-client'
import type { Clock } from '../runtime.ts'
import type { WorkerMetrics } from './metrics.ts'

/** Well below the second that a worker waits for the others. */
const ANSWER_TIMEOUT_MS = 700

/** The metrics of all workers, in their primary process: the latest of each, and the counts of those that ended. */
export interface MetricsOfWorkers<Worker> {
  add(worker: Worker, metrics: WorkerMetrics): void
  /** The worker has ended, and its last message has come. What it counted stays: no sum ever decreases. */
  remove(worker: Worker): void
  /**
   * All but those of `asker`. Of a worker that does not answer in time, such as a paused one, the latest known.
   * @param ask asks one of `others` for its metrics, which arrive by `add`
   */
  gather(asker: Worker, others: Worker[], ask: (worker: Worker) => void): Promise<WorkerMetrics[]>
}

export function createMetricsOfWorkers<Worker>(clock: Clock): MetricsOfWorkers<Worker> {
  const latest = new Map<Worker, WorkerMetrics>()
  const waiting = new Map<Worker, (() => void)[]>()
  let ended: WorkerMetrics = []

  const wake = (worker: Worker): void => {
    for (const resolve of waiting.get(worker) ?? []) resolve()
    waiting.delete(worker)
  }

  return {
    add(worker, metrics) {
      latest.set(worker, metrics)
      wake(worker)
    },

    remove(worker) {
      const counts = (latest.get(worker) ?? []).filter(isCount)
      ended = AggregatorRegistry.aggregate([ended, counts]).getMetricsAsArray() as WorkerMetrics
      latest.delete(worker)
      wake(worker)
    },

    async gather(asker, others, ask) {
      const answers = others.map(
        (worker) =>
          new Promise<void>((resolve) => {
            waiting.set(worker, [...(waiting.get(worker) ?? []), resolve])
            ask(worker)
          }),
      )
      const done = new AbortController()
      await Promise.race([Promise.all(answers), clock.sleep(ANSWER_TIMEOUT_MS, done.signal)])
      done.abort()
      const known = [...latest].filter(([worker]) => worker !== asker)
      return [ended, ...known.map(([, metrics]) => metrics)]
    },
  }
}

/** A gauge ends with its process. prom-client's types have numbers for the types, and its metrics have names. */
const isCount = ({ type }: WorkerMetrics[number]): boolean =>
  ['counter', 'histogram'].includes(String(type))
