import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../server/config/config.ts'
import { openData } from '../../server/data/open-data.ts'
import { createLog } from '../../server/log.ts'
import { compose } from '../../server/services.ts'
import { runtime } from '../../server/runtime.ts'
import type { Services } from '../../server/services.ts'
import { standInDefaults, startStandIn } from '../../server/stand-in/app.ts'
import type { StandIn, Switches } from '../../server/stand-in/app.ts'
import { testClock } from '../helper.ts'
import { connectMany } from '../operate/load.ts'
import type { Device } from '../operate/load.ts'
import { Broker, bundleBroker } from './brokers.ts'

/** Where it all happens: brokers on one data directory, the stand-in, and the connected accounts. */
export interface Setting {
  rotation: Switches['rotation']
  standIn: StandIn
  /** The same data, open in this process: to look at what the brokers have written. */
  services: Services
  brokers: Broker[]
  /** When one went on that had been paused for longer than a lease, milliseconds. */
  wokenAt: number[]
  /** What was done beside the kills, and from when to when, milliseconds. */
  actions: { action: string; from: number; to: number }[]
  devices: Device[]
  dataDir: string
  /** A small disk of its own, which can be filled; `false`: that takes the right to mount. */
  ownDisk: boolean
  /** What the brokers logged. */
  logFile: string
  end(keepLog?: boolean): Promise<void>
}

/** Megabytes. */
const DISK = 48

export async function prepare(options: {
  rotation: Switches['rotation']
  brokers: number
  connections: number
}): Promise<Setting> {
  const folder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-chaos-'))
  const dataDir = join(folder, 'data')
  const ownDisk = mountDisk(dataDir)
  const url = 'http://127.0.0.1:1'
  const client = { ...standInDefaults.client, redirectUris: [`${url}/callback`] }
  const switches = { rotation: options.rotation, tokenDelay: 30, tokenLifetime: 600 }
  const standIn = await startStandIn({ port: 0, clients: [client], switches })
  const env = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: standIn.apiUrl,
    BROKER_PUBLIC_URL: url,
    BROKER_DATA_DIR: dataDir,
    BROKER_FAILURE_LIMIT: '1000000',
    BROKER_LOG_LEVEL: 'warn',
    CHAOS_LOG: join(folder, 'brokers.log'),
    // Who is killed often is compiled once.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
  }
  const config = loadConfig(env, { serve: true })
  const data = await openData(config, runtime, { claim: 'same' })
  const services = compose(config, createLog({ logLevel: 'silent' }), data)
  const devices = await connectMany(
    { services, standIn: standIn.standIn, clock: testClock() },
    options.connections,
  )
  const program = await bundleBroker()
  const brokers = Array.from({ length: options.brokers }, () => new Broker(program, env))
  await Promise.all(brokers.map((broker) => broker.start()))

  return {
    rotation: options.rotation,
    standIn: standIn.standIn,
    services,
    brokers,
    wokenAt: [],
    actions: [],
    devices,
    dataDir,
    ownDisk,
    logFile: env.CHAOS_LOG,
    async end(keepLog = false) {
      await Promise.all(brokers.map((broker) => broker.end()))
      await services.stop()
      await standIn.close()
      rmSync(program)
      if (ownDisk) execFileSync('umount', [dataDir])
      if (!keepLog) rmSync(folder, { recursive: true, force: true })
    },
  }
}

function mountDisk(dataDir: string): boolean {
  mkdirSync(dataDir, { mode: 0o700 })
  try {
    const size = `size=${DISK}m,mode=700`
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', dataDir], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A swap, by an app that gives up after a while. `status` 0: no answer. */
export async function swap(
  url: string,
  token: string,
  wishes: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  try {
    const answer = await fetch(`${url}/exchange`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(wishes),
      signal: AbortSignal.timeout(15_000),
    })
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  } catch {
    return { status: 0, body: {} }
  }
}
