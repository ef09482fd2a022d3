import { existsSync } from 'node:fs'
import type { Server } from 'node:tls'
import closeWithGrace from 'close-with-grace'
import type { Options } from 'close-with-grace'
import { Command } from 'commander'
import { hasStore } from '../../db/data-directory/open.ts'
import { buildApp } from '../http/app.ts'
import { loadConfig, readEnvironment } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { createLog } from '../log.ts'
import type { Logger } from '../log.ts'
import type { Claim } from '../data/data-ownership.ts'
import { closeWithTimeout } from '../http/plugins/time-limits.ts'
import { secretKeyFile } from '../data/secret-key.ts'
import { startServices } from '../services.ts'
import type { Services } from '../services.ts'
import { explainListenError } from '../data/start-error.ts'
import { readCertificate, watchCertificate } from '../http/tls.ts'

/** A stop takes no longer than this, milliseconds: requests' 12 s, a call upstream's 20 s, and the store. */
const STOP_WITHIN = 36_000

/** `serve`: the broker. Runs until it is told to stop. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('the broker')
    .option('--accept-client-change', 'the data may belong to another Ellipsis client or API')
    .action(async ({ acceptClientChange }: { acceptClientChange?: boolean }) =>
      serve(readEnvironment(), acceptClientChange ? 'anew' : 'same'),
    )
}

/** Serves until it is told to stop. @throws ConfigError, StartError */
export async function serve(environment: NodeJS.ProcessEnv, claim: Claim = 'same'): Promise<void> {
  const config = loadConfig(environment, { serve: true })
  const log = createLog(config)
  ignoreHangup(log)
  for (const warning of config.warnings) log.warn(warning)
  warnOfLoss(config, log)
  const broker = await startBroker(config, log, claim)
  // Before the ready line: a supervisor that waits for it may send SIGTERM at once.
  const ended = stopped(log, () => broker.stop(), ['SIGHUP'])
  log.info(
    { listening: broker.address, callback: config.callbackUrl },
    `ready at ${config.publicUrl}; register ${config.callbackUrl} as callback URL at Ellipsis Drive`,
  )
  await tellSetup(broker.services)
  await ended
}

/** A first start makes its key itself: one without a database may be all that is left. */
function warnOfLoss({ dataDir }: Config, log: Logger): void {
  if (hasStore(dataDir) || !existsSync(secretKeyFile(dataDir))) return
  log.warn(
    `there is a secret.key in ${dataDir}, but no database: an empty one is made. If one was there before, stop, and restore a backup`,
  )
}

/** SIGHUP asks daemons to reload, and the certificate is all that is: it never stops the broker. */
function ignoreHangup(log: Logger): void {
  process.on('SIGHUP', () => {
    log.info(
      { signal: 'SIGHUP' },
      'only TLS files are read anew while the broker runs; other settings take a restart',
    )
  })
}

/** Where there is no admin, says where the first one is made: beside the log, which holds no secrets. */
async function tellSetup({ setup, config }: Services): Promise<void> {
  const secret = await setup.invite()
  if (!secret) return
  const address = `${config.publicUrl}/admin/setup/${secret.reveal()}`
  process.stderr.write(`There is no admin yet. Make the first one within an hour at ${address}\n`)
}

/** A broker that listens. */
export interface RunningBroker {
  services: Services
  address: string
  stop(): Promise<void>
}

/** Starts all of it; `stop` ends what listens first, and closes the store last. */
export async function startBroker(
  config: Config,
  log: Logger,
  claim: Claim = 'same',
): Promise<RunningBroker> {
  if (config.tls) readCertificate(config.tls)
  return listen(await startServices(config, log, { claim }))
}

/** Serves what is composed; on a failure everything is ended. */
export async function listen(services: Services): Promise<RunningBroker> {
  const { config, log } = services
  const app = await buildApp(services)
  try {
    const { host, port, tls } = config
    const address = await app.listen({ host, port }).catch(explainListenError({ host, port }))
    const unwatch = tls && watchCertificate(app.server as unknown as Server, tls, log)
    services.sweeper.start()
    services.bulks.start()
    services.refreshAhead.start()
    return {
      services,
      address,
      async stop() {
        unwatch?.()
        try {
          await closeWithTimeout(app)
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

/** Resolves after a signal, if it is none of `skip`, has ended what `stop` ends. */
export function stopped(
  log: Pick<Logger, 'info' | 'error'>,
  stop: () => Promise<void>,
  skip: Options['skip'] = [],
): Promise<void> {
  return new Promise((resolve) => {
    closeWithGrace({ delay: STOP_WITHIN, logger: false, skip }, async ({ err, signal }) => {
      /* c8 ignore next -- no fault of this program's own is known */
      if (err) log.error({ err }, 'stopping after an error that nothing handled')
      else log.info({ signal }, 'stopping')
      await stop()
      log.info({}, 'stopped')
      resolve()
    })
  })
}
