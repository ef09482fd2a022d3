import cluster from 'node:cluster'
import type { Metrics, WorkerMetrics } from '../metrics/metrics.ts'

/**
 * Messages between workers and their primary process. During an upgrade the two are of different versions: add
 * types and fields, and change none.
 */
export type ToWorker =
  | { type: 'start'; role: Role }
  /** Accept no more connections, finish what was begun, then end. */
  | { type: 'drain' }
  | { type: 'stop' }
  | { type: 'collect' }
  | { type: 'gathered'; metrics: WorkerMetrics[] }

export type FromWorker =
  | { type: 'ready' }
  /** The answer to `collect`, and the last message of a worker. */
  | { type: 'metrics'; metrics: WorkerMetrics }
  /** Asks for the metrics of the other workers. */
  | { type: 'gather'; metrics: WorkerMetrics }

/** `first`: since the program started; `again`: in place of one that died; `more`: neither. */
export type Role = 'first' | 'again' | 'more'

/** A worker's connection to its primary process. */
export interface Primary {
  role: Role
  /** The metrics of the other workers, of those that have ended too. */
  gather(own: WorkerMetrics): Promise<WorkerMetrics[]>
  /** Reports that this worker serves. From then on it obeys its primary. */
  ready(work: { metrics: Pick<Metrics, 'collect'>; drain(): Promise<void> }): void
  /** Resolves when this worker shall stop: by a message, by a signal, or as its primary has died. */
  stopRequested: Promise<void>
  /** Sends the last metrics. */
  leave(): Promise<void>
}

/** The connection of this process, if it is a worker; else `null`. */
export async function connectToPrimary(): Promise<Primary | null> {
  const { worker } = cluster
  if (!worker) return null
  const started = Promise.withResolvers<Role>()
  const readied = Promise.withResolvers<Parameters<Primary['ready']>[0]>()
  const stop = Promise.withResolvers<void>()
  let gathering: ((metrics: WorkerMetrics[]) => void)[] = []

  const sendMetrics = async () => {
    const { metrics } = await readied.promise
    await send({ type: 'metrics', metrics: await metrics.collect() })
  }

  process.on('message', (message: ToWorker) => {
    if (message.type === 'start') started.resolve(message.role)
    else if (message.type === 'collect') void sendMetrics()
    else if (message.type === 'stop') stop.resolve()
    else if (message.type === 'drain') {
      void readied.promise.then(({ drain }) => drain()).then(stop.resolve)
    } else if (message.type === 'gathered') {
      for (const resolve of gathering) resolve(message.metrics)
      gathering = []
    }
  })
  // Of a message that the primary can't get any more.
  worker.on('error', () => undefined)

  return {
    role: await started.promise,
    stopRequested: stop.promise,
    leave: sendMetrics,
    gather: (own) =>
      new Promise((resolve) => {
        gathering.push(resolve)
        void send({ type: 'gather', metrics: own })
      }),
    ready(work) {
      // A service manager signals all processes, and the primary sends a message: neither is a second request.
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.resolve())
      worker.on('disconnect', () => {
        // Otherwise Node ends this process at once, in the middle of requests and of calls to Ellipsis Drive.
        worker.exitedAfterDisconnect = true
        stop.resolve()
      })
      readied.resolve(work)
      void send({ type: 'ready' })
    },
  }
}

/** Resolves when the message is sent, or can't be because the primary has died. */
const send = (message: FromWorker): Promise<void> =>
  new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()))
