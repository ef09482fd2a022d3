import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import { isSea } from 'node:sea'
import type { Logger } from '../log.ts'
import { runtime } from '../runtime.ts'
import type { FromWorker, Role, ToWorker } from './worker.ts'

/** A worker that ends sooner counts as failed, and the next one starts after a pause. */
const MIN_LIFE_MS = 10_000
const FIRST_PAUSE_MS = 200
const MAX_PAUSE_MS = 30_000

/** How a process ended. */
interface Exit {
  code: number
  signal: string | null
}

/** A worker ended before it served anybody. With an exit code it has said why. */
export class WorkerStartError extends Error {
  override name = 'WorkerStartError'
  readonly exitCode: number | null

  constructor({ code, signal }: Exit) {
    super(`A worker ended before it served: ${signal ?? `code ${code}`}.`)
    this.exitCode = signal === null ? code || 1 : null
  }
}

/**
 * Runs this command line in worker processes that share the listening socket, until a signal stops them. A worker
 * that ends is replaced. SIGHUP replaces all, one after the other: each new one listens before an old one stops.
 *
 * This process opens no data. It keeps the rights that it was started with, as each worker reads the settings anew.
 * @throws WorkerStartError if the first worker does not start
 */
export async function runWorkers(count: number, log: Logger): Promise<void> {
  const { clock } = runtime
  /** All worker processes, also those that start or stop. */
  const processes = new Map<Worker, Promise<Exit>>()
  /** Those that serve. One that drains still answers on its connections. */
  const serving = new Set<Worker>()
  /** Those of `serving` that are to stay. */
  const current = new Set<Worker>()
  const { createMetricsOfWorkers } = await import('../metrics/workers.ts')
  const metrics = createMetricsOfWorkers<Worker>(clock)
  const stopping = new AbortController()
  let starting = 0
  /** Workers in a row that failed. */
  let failures = 0

  /** Resolves when a new worker serves. @throws WorkerStartError if it ends first */
  const start = async (role: Role): Promise<void> => {
    starting++
    try {
      const worker = fork(role)
      const ready = new Promise<null>((resolve) =>
        worker.on('message', ({ type }: FromWorker) => {
          if (type === 'ready') resolve(null)
        }),
      )
      const exit = await Promise.race([ready, processes.get(worker)])
      if (exit) throw new WorkerStartError(exit)
      serving.add(worker)
      current.add(worker)
    } finally {
      starting--
    }
  }

  const fork = (role: Role): Worker => {
    const worker = cluster.fork()
    const startedAt = clock.steady()
    const exit = new Promise<Exit>((resolve) => {
      worker.once('exit', (code, signal) => resolve({ code, signal }))
      worker.on('error', (err) => {
        log.error({ err, worker: pidOf(worker) }, 'the process of a worker failed')
        // There is no program to start, or no room for a process.
        if (pidOf(worker) === undefined) resolve({ code: 1, signal: null })
      })
    })
    processes.set(worker, exit)
    void exit.then((how) => {
      processes.delete(worker)
      const isCurrent = current.delete(worker)
      const isReplaced = serving.delete(worker) && !isCurrent
      if (!isReplaced) failures = clock.steady() - startedAt < MIN_LIFE_MS ? failures + 1 : 0
      if (!isCurrent || stopping.signal.aborted) return
      log.error({ worker: pidOf(worker), ...how }, 'a worker ended; another one replaces it')
      startMissing()
    })
    // Its last message may come after its end.
    worker.once('disconnect', () => metrics.remove(worker))
    worker.on('message', (message: FromWorker) => receive(worker, message))
    send(worker, { type: 'start', role })
    return worker
  }

  const receive = (worker: Worker, message: FromWorker): void => {
    if (message.type === 'ready') return
    metrics.add(worker, message.metrics)
    if (message.type !== 'gather') return
    const others = [...serving].filter((other) => other !== worker)
    void metrics
      .gather(worker, others, (other) => send(other, { type: 'collect' }))
      .then((gathered) => send(worker, { type: 'gathered', metrics: gathered }))
  }

  /** Starts one worker if one is missing, after a pause that grows with each failure. */
  const startMissing = (): void => {
    if (stopping.signal.aborted || current.size + starting >= count) return
    starting++
    const pauseMs =
      failures === 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS)
    if (pauseMs > 0) log.warn({ pauseMs }, 'pausing before the next worker starts')
    void clock.sleep(pauseMs, stopping.signal).then(() => {
      starting--
      if (!stopping.signal.aborted) start('again').catch(startMissing)
    })
  }

  const replaceAll = async (): Promise<void> => {
    log.info({ signal: 'SIGHUP' }, 'replacing the workers, one after the other')
    for (const old of [...current]) {
      if (stopping.signal.aborted) return
      try {
        await start('more')
      } catch (err) {
        log.error({ err }, 'the new worker did not start; the others continue as they are')
        return startMissing()
      }
      if (current.delete(old)) send(old, { type: 'drain' })
    }
    log.info({ workers: [...current].map(pidOf) }, 'replaced the workers')
  }

  const stop = async (): Promise<void> => {
    stopping.abort()
    for (const worker of processes.keys()) {
      if (serving.has(worker)) send(worker, { type: 'stop' })
      else worker.process.kill('SIGTERM')
    }
    while (processes.size > 0) await Promise.all(processes.values())
    log.info({}, 'stopped')
  }

  setUpCluster()
  const first = start('first')
  let replaced = first.catch(() => undefined)
  process.on('SIGHUP', () => void (replaced = replaced.then(replaceAll)))
  await first
  const stopped = Promise.withResolvers<void>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping.signal.aborted) process.exit(1)
      log.info({ signal }, 'stopping')
      void stop().then(stopped.resolve)
    })
  }
  await Promise.all(Array.from({ length: count - 1 }, () => start('more').catch(startMissing)))
  if (!stopping.signal.aborted)
    log.info({ workers: [...current].map(pidOf) }, 'all workers are ready')
  await stopped.promise
}

/** Workers run the same program with the same arguments. */
function setUpCluster(): void {
  // The system hands connections to workers that ask for them, so one that dies or is paused delays nobody. With
  // round robin, connections that are on their way to it would wait forever.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const [exec = '', ...args] = process.argv.slice(isSea() ? 2 : 1)
  // `--` ends Node's options: it would take the program's `--env-file` for its own. The binary has it built in.
  cluster.setupPrimary({ exec, args, execArgv: isSea() ? [] : [...process.execArgv, '--'] })
}

/** Sends to a worker. One that has just ended gets nothing. */
function send(worker: Worker, message: ToWorker): void {
  worker.send(message, () => undefined)
}

const pidOf = ({ process: { pid } }: Worker): number | undefined => pid
