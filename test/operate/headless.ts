import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { backup } from '../../server/operate/backup.ts'
import { restore } from '../../server/operate/restore.ts'
import type { Secret } from '../../server/secret.ts'
import { startServices } from '../../server/services.ts'
import { runtime } from '../../server/runtime.ts'
import { startStandIn, standInDefaults } from '../../server/stand-in/app.ts'
import type { Switches } from '../../server/stand-in/app.ts'
import { cheapHashing, testClock } from '../helper.ts'
import type { TestClock } from '../clock.ts'
import type { Headless } from './load.ts'
import { temporaryFolder } from '../temporary.ts'

export type HeadlessSetup = Awaited<ReturnType<typeof buildHeadless>>

/** A stand-in, and a data directory on which brokers without HTTP can be started and stopped. */
export async function buildHeadless(
  t: Test,
  switches: Partial<Switches> = {},
  dataDir = temporaryFolder(t),
) {
  const clock = testClock()
  const url = 'http://127.0.0.1:3000'
  const client = { ...standInDefaults.client, redirectUris: [`${url}/callback`] }
  const { now, sleep } = clock
  const options = { port: 0, clients: [client], switches, now, sleep }
  const standIn = await startStandIn(options)
  t.teardown(() => standIn.close())
  const env: Record<string, string> = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: standIn.apiUrl,
    BROKER_PUBLIC_URL: url,
    BROKER_DATA_DIR: dataDir,
  }
  /** Starts a broker on the directory. It stops with `stop`, or at the end of the test. */
  const start = async (
    more: Record<string, string> = {},
  ): Promise<Headless & { clock: TestClock; stop(): Promise<void> }> => {
    const config = loadConfig({ ...env, ...more }, { serve: true })
    const log = createLog({ logLevel: 'silent' })
    const services = await startServices(config, log, {
      claim: 'same',
      runtime: { ...runtime, clock, passwordHashing: cheapHashing },
    })
    let isStopped = false
    const stop = async () => {
      if (isStopped) return
      isStopped = true
      await services.stop()
    }
    t.teardown(stop)
    return { services, standIn: standIn.standIn, clock, stop }
  }
  return { standIn: standIn.standIn, clock, dataDir, env, start, config: loadConfig(env) }
}

/** Damages a store: SQLite can still read it, but its integrity check fails. */
export function damage(file: string): void {
  const client = new Database(file)
  client.unsafeMode()
  client.pragma('writable_schema = ON')
  client.exec(
    "update sqlite_schema set sql = replace(sql, '`details` text', '`details` text not null') where name = 'events'",
  )
  client.exec("insert into events (at, actor, action) values (1, 'x', 'y')")
  client.close()
}

/** The outcome of a swap: `ok`, or the error's code. */
export async function swapOutcome(
  { services }: Headless,
  brokerToken: string,
  minTtlSeconds = 60,
): Promise<string> {
  try {
    await services.swap.swap({ brokerToken, client: null, proof: null, minTtlSeconds })
    return 'ok'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

/** Backs up the data directory. Returns the backup's path. */
export async function makeBackup(t: Test, { dataDir }: HeadlessSetup): Promise<string> {
  const file = join(temporaryFolder(t), 'backup.db')
  await backup({ dataDir }, file, runtime)
  return file
}

export const restoreBackup = (
  { config, clock }: HeadlessSetup,
  file: string,
  options: { acceptRevoked?: boolean; secrets?: Secret[] } = {},
) =>
  restore({ dataDir: config.dataDir, secrets: options.secrets ?? null }, file, {
    acceptRevoked: options.acceptRevoked ?? false,
    clock,
    random: runtime.random,
  })
