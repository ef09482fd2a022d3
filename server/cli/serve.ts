import { existsSync } from 'node:fs'
import type { Server } from 'node:tls'
import closeWithGrace from 'close-with-grace'
import type { Options } from 'close-with-grace'
import { Command } from 'commander'
import { hasStore } from '../../db/data-directory/restore-complete.ts'
import type { Config } from '../config/config.ts'
import { createLog } from '../log.ts'
import type { Logger } from '../log.ts'
import type { Claim } from '../data/data-ownership.ts'
import { closeWithTimeout } from '../http/plugins/time-limits.ts'
import { secretKeyFile } from '../data/secret-key.ts'
import type { Services } from '../services.ts'
import { checkEventProgram, explainCacheError, explainListenError } from '../data/start-error.ts'
import { readCertificate, watchCertificate } from '../http/tls.ts'
import { logOutput, treatOutputAsLog } from './output.ts'
import { loadStoreSettings } from './settings.ts'

/** Limit of a graceful stop: requests (12 s), an upstream call (20 s) and closing the store. */
const STOP_TIMEOUT_MS = 36_000

/** `serve`: runs the broker until a signal stops it. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the broker')
    .option('--accept-client-change', 'accept a changed OAuth client or API for existing data')
    .action(async ({ acceptClientChange }: { acceptClientChange?: boolean }) =>
      serve(acceptClientChange ? 'anew' : 'same'),
    )
}

/** Serves with this command line's settings until a signal stops it. @throws ConfigError, StartError */
export async function serve(claim: Claim = 'same'): Promise<void> {
  const { config, settings } = loadStoreSettings({ serve: true })
  treatOutputAsLog()
  const log = createLog(config, logOutput())
  ignoreSighup(log)
  for (const warning of config.warnings) log.warn(warning)
  warnOfMissingDatabase(config, log)
  const broker = await startBroker(config, log, claim)
  await warnOfExposedFiles(config, log)
  // Before the ready line: a supervisor that waits for it may send SIGTERM at once.
  const stopped = waitForStop(log, () => broker.stop(), ['SIGHUP'])
  log.info(
    {
      listening: broker.address,
      callback: config.callbackUrl,
      store: config.database?.address ?? config.dataDir,
      settings: settings.files,
    },
    `ready at ${config.publicUrl}; register ${config.callbackUrl} as callback URL at Ellipsis Drive`,
  )
  await printSetupUrl(broker.services)
  await stopped
}

/** A first start creates the key. A key without a database may mean that the database was lost. */
function warnOfMissingDatabase({ dataDir, database }: Config, log: Logger): void {
  if (database) {
    if (hasStore(dataDir))
      log.warn(`${dataDir} has a database, too, which is not used: BROKER_DATABASE_URL is set`)
    return
  }
  if (hasStore(dataDir) || !existsSync(secretKeyFile(dataDir))) return
  log.warn(
    `${dataDir} has a secret.key but no database: creating an empty one. If there was a database before, stop the broker and restore a backup`,
  )
}

/** Other users who can read the files may have the tokens; the broker works all the same. */
async function warnOfExposedFiles({ dataDir }: Config, log: Logger): Promise<void> {
  const { judgeFiles } = await import('../operate/doctor/data-checks.ts')
  const { status, finding, fix } = judgeFiles(dataDir)
  if (status === 'problem') log.warn({ fix }, finding)
}

/** SIGHUP must not stop the broker. TLS files are reloaded without it. */
function ignoreSighup(log: Logger): void {
  process.on('SIGHUP', () => {
    log.info(
      { signal: 'SIGHUP' },
      'only TLS files are reloaded while the broker runs; other settings need a restart',
    )
  })
}

/** Prints where to create the first admin. Not logged: the URL holds a secret. */
async function printSetupUrl({ setup, config }: Services): Promise<void> {
  const secret = await setup.invite()
  if (!secret) return
  const address = `${config.publicUrl}/admin/setup/${secret.reveal()}`
  process.stderr.write(`There is no admin yet. Create the first one within an hour at ${address}\n`)
}

interface RunningBroker {
  services: Services
  address: string
  stop(): Promise<void>
}

/** Starts services and server. `stop` closes the server first and the store last. @throws StartError */
export async function startBroker(
  config: Config,
  log: Logger,
  claim: Claim = 'same',
): Promise<RunningBroker> {
  if (config.tls) readCertificate(config.tls)
  if (config.onEvent) checkEventProgram(config.onEvent.program)
  const { startServices } = await import('../services.ts')
  return listen(await startServices(config, log, { claim }))
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

/** Resolves when a signal, other than those in `skip`, has arrived and `stop` is done. */
export function waitForStop(
  log: Pick<Logger, 'info' | 'error'>,
  stop: () => Promise<void>,
  skip: Options['skip'] = [],
): Promise<void> {
  return new Promise((resolve) => {
    closeWithGrace({ delay: STOP_TIMEOUT_MS, logger: false, skip }, async ({ err, signal }) => {
      /* c8 ignore next -- no known error gets here */
      if (err) log.error({ err }, 'stopping after an error that nothing handled')
      else log.info({ signal }, 'stopping')
      await stop()
      log.info({}, 'stopped')
      resolve()
    })
  })
}
