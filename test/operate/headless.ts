import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { startServices } from '../../server/services.ts'
import { runtime } from '../../server/runtime.ts'
import { startStandIn, standInDefaults } from '../../server/stand-in/app.ts'
import type { Switches } from '../../server/stand-in/app.ts'
import { cheapHashing, testClock } from '../helper.ts'
import type { TestClock } from '../clock.ts'
import type { Headless } from './load.ts'
import { temporaryFolder } from '../temporary.ts'

/** A stand-in, and brokers without HTTP on a data directory of one's own, which can be stopped. */
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
  /** Starts a broker on the directory; `stop` ends it, and so does the test's end. */
  const start = async (
    more: Record<string, string> = {},
  ): Promise<Headless & { clock: TestClock; stop(): Promise<void> }> => {
    const config = loadConfig({ ...env, ...more }, { serve: true })
    const log = createLog({ logLevel: 'silent' })
    const services = await startServices(config, log, {
      claim: 'same',
      runtime: { ...runtime, clock, passwordHashing: cheapHashing },
    })
    let stopped = false
    const stop = async () => {
      if (stopped) return
      stopped = true
      await services.stop()
    }
    t.teardown(stop)
    return { services, standIn: standIn.standIn, clock, stop }
  }
  return { standIn: standIn.standIn, clock, dataDir, env, start, config: loadConfig(env) }
}

/** Damages a store so that SQLite still reads it, and finds it out when it is asked to. */
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

/** How a swap ends: `ok`, or the error's code. */
export async function outcome(
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
