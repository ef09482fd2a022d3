import cluster from 'node:cluster'
import { existsSync } from 'node:fs'
import type { Server } from 'node:tls'
import closeWithGrace from 'close-with-grace'
import type { Options } from 'close-with-grace'
import { Command } from 'commander'
import { hasStore } from '../../db/data-directory/restore-complete.ts'
import type { Config } from '../config/config.ts'
import { InvalidValue, workers as parseWorkers } from '../config/parse.ts'
import { createLog } from '../log.ts'
import type { Logger } from '../log.ts'
import type { Claim } from '../data/data-ownership.ts'
import { dropToOwner } from '../data/drop-privileges.ts'
import { closeWithTimeout, drain } from '../http/plugins/time-limits.ts'
import { secretKeyFile } from '../data/secret-key.ts'
import type { Services, StartOptions } from '../services.ts'
import { checkEventProgram, explainCacheError, explainListenError } from '../data/start-error.ts'
import { readCertificate, watchCertificate } from '../http/tls.ts'
import { logOutput, treatOutputAsLog } from './output.ts'
import { loadSettings } from './settings.ts'
import { UsageError } from './terminal.ts'
import { connectToPrimary } from './worker.ts'
import type { Primary } from './worker.ts'
import { runWorkers } from './workers.ts'

/** Limit of a graceful stop: requests (12 s), an upstream call (20 s) and closing the store. */
const STOP_TIMEOUT_MS = 36_000

const RESTART_NEEDED =
  'only TLS files are reloaded while the broker runs; other settings need a restart'
const skip = ['SIGHUP'] satisfies Options['skip']

/** `serve`: runs the broker until a signal stops it. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the broker')
    .option('--accept-client-change', 'accept a changed OAuth client or API for existing data')
    .option('--workers <count>', 'processes that serve; auto: one for each core')
    .action(async ({ acceptClientChange, workers }: Flags) => {
      const count = workers === undefined ? undefined : readWorkers(workers)
      const claim = acceptClientChange ? 'anew' : 'same'
      // A worker that can't start ends, although its primary still listens to it.
      await serve({ claim, workers: count }).finally(() => process.channel?.unref())
    })
}

interface Flags {
  acceptClientChange?: boolean
  workers?: string
}

function readWorkers(text: string): number {
  try {
    return parseWorkers(text)
  } catch (error) {
    if (error instanceof InvalidValue) throw new UsageError(`--workers ${error.message}`)
    throw error
  }
}

/**
 * Serves with this command line's settings until a signal stops it: in this process, or in workers.
 * @param options.workers overrides the setting; `null`: this process alone
 * @throws ConfigError, StartError, WorkerStartError
 */
export async function serve(
  options: { claim?: Claim; workers?: number | null | undefined } = {},
): Promise<void> {
  const { config: loaded, settings } = loadSettings({ serve: true })
  const { workers = loaded.workers } = options
  treatOutputAsLog()
  const identity = workers === null ? null : { pid: process.pid }
  const log = createLog(loaded, logOutput(), identity)
  if (workers !== null && cluster.isPrimary) return runWorkers(workers, log)
  const config = { ...loaded, workers, dataDir: dropToOwner(loaded.dataDir) }
  const primary = await connectToPrimary()
  const isFirst = primary === null || primary.role === 'first'
  // TLS files are reloaded all the same. A terminal that closes signals every process.
  process.on('SIGHUP', () => {
    if (!primary) log.info({ signal: 'SIGHUP' }, RESTART_NEEDED)
  })
  if (isFirst) {
    for (const warning of config.warnings) log.warn(warning)
    await warnOfMissingDatabase(config, log)
  }
  const broker = await startBroker(config, log, {
    claim: options.claim ?? 'same',
    ...(primary && { counted: primary.role !== 'more', gather: primary.gather }),
  })
  if (isFirst) await warnOfExposedFiles(config, log)
  // Before the ready line: a supervisor that waits for it may send SIGTERM at once.
  const stopped = primary ? stopWith(primary, broker, log) : waitForStop(log, broker.stop, skip)
  log.info(
    {
      listening: broker.address,
      callback: config.callbackUrl,
      store: config.database?.address ?? config.dataDir,
      settings: settings.files,
    },
    `ready at ${config.publicUrl}; register ${config.callbackUrl} as callback URL at Ellipsis Drive`,
  )
  if (isFirst) await printSetupUrl(broker.services)
  await stopped
}

/** Reports that this worker is ready, and waits until it has stopped. */
function stopWith(primary: Primary, broker: RunningBroker, log: Logger): Promise<void> {
  primary.ready({ metrics: broker.services.metrics, drain: broker.drain })
  const stop = () => broker.stop().finally(primary.leave)
  return waitForStop(log, stop, [...skip, 'SIGTERM', 'SIGINT'], primary.stopRequested)
}

/** A first start creates the key. A key without a database may mean that the database was lost. */
async function warnOfMissingDatabase(config: Config, log: Logger): Promise<void> {
  const { dataDir, database } = config
  if (database) {
    // One that `store copy` has copied stays, and no command opens it.
    if (hasStore(dataDir) && !(await isCopied(config)))
      log.warn(`${dataDir} has a database, too, which is not used: BROKER_DATABASE_URL is set`)
    return
  }
  if (hasStore(dataDir) || !existsSync(secretKeyFile(dataDir))) return
  log.warn(
    `${dataDir} has a secret.key but no database: creating an empty one. If there was a database before, stop the broker and restore a backup`,
  )
}

async function isCopied(config: Config): Promise<boolean> {
  const { readStoredMeta } = await import('../data/stored-meta.ts')
  const { movedTo } = await import('../data/moved-store.ts')
  const meta = await readStoredMeta({ ...config, database: null }).catch(() => ({}))
  return movedTo(meta) !== null
}

/** Other users who can read the files may have the tokens; the broker works all the same. */
async function warnOfExposedFiles({ dataDir }: Config, log: Logger): Promise<void> {
  const { judgeFiles } = await import('../operate/doctor/data-checks.ts')
  const { status, finding, fix } = judgeFiles(dataDir)
  if (status === 'problem') log.warn({ fix }, finding)
}

/** Prints where to create the first admin. Not logged: the URL holds a secret. */
async function printSetupUrl({ setup, config, log }: Services): Promise<void> {
  // The broker serves, and a store that can't be used at this moment does not end it.
  const secret = await setup.invite().catch((err: unknown) => {
    log.warn({ err }, 'whether there is an admin is unknown; `admin add` creates one')
    return null
  })
  if (!secret) return
  const address = `${config.publicUrl}/admin/setup/${secret.reveal()}`
  process.stderr.write(`There is no admin yet. Create the first one within an hour at ${address}\n`)
}

interface RunningBroker {
  services: Services
  address: string
  /** Accepts no more connections, and resolves when the clients have closed theirs, or after a timeout. */
  drain(): Promise<void>
  stop(): Promise<void>
}

/** Starts services and server. `stop` closes the server first and the store last. @throws StartError */
export async function startBroker(
  config: Config,
  log: Logger,
  options: StartOptions = { claim: 'same' },
): Promise<RunningBroker> {
  if (config.tls) readCertificate(config.tls)
  if (config.onEvent) checkEventProgram(config.onEvent.program)
  const { startServices } = await import('../services.ts')
  return listen(await startServices(config, log, options))
}

/** Listens with started services; on a failure stops them. @throws StartError */
export async function listen(services: Services): Promise<RunningBroker> {
  const { config, log } = services
  // Loaded here, so that other commands start faster.
  const { buildApp } = await import('../http/app.ts')
  const { serveMetrics } = await import('../http/metrics-listener.ts')
  const app = await buildApp(services)
  try {
    await services.driveCache.open().catch(explainCacheError)
    const { host, port, tls, metricsPort } = config
    const address = await app.listen({ host, port }).catch(explainListenError({ host, port }))
    const unwatch = tls && watchCertificate(app.server as unknown as Server, tls, log)
    const stopMetrics = metricsPort === null ? null : serveMetrics(services, metricsPort)
    services.sweeper.start()
    services.bulks.start()
    services.dispatcher.start()
    services.conditions.start()
    services.refreshAhead.start()
    return {
      services,
      address,
      drain: () => drain(app),
      async stop() {
        unwatch?.()
        try {
          await Promise.all([closeWithTimeout(app), stopMetrics?.()])
        } finally {
          await services.stop()
        }
      },
    }
  } catch (error) {
    await app.close()
    await services.stop()
    throw error
  }
}

/**
 * Resolves when a signal, other than those in `skip`, has arrived and `stop` is done.
 * @param requested stops too when it resolves
 */
export function waitForStop(
  log: Pick<Logger, 'info' | 'error'>,
  stop: () => Promise<void>,
  skip: Options['skip'] = [],
  requested?: Promise<void>,
): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false
    const { close } = closeWithGrace(
      { delay: STOP_TIMEOUT_MS, logger: false, skip },
      async ({ err, signal }) => {
        isStopping = true
        /* c8 ignore next -- no known error gets here */
        if (err) log.error({ err }, 'stopping after an error that nothing handled')
        else log.info({ signal }, 'stopping')
        await stop()
        log.info({}, 'stopped')
        resolve()
      },
    )
    void requested?.then(() => isStopping || close())
  })
}
