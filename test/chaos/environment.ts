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
import { Broker, bundleBroker } from './broker.ts'

/** Brokers on one data directory, the stand-in, and the connected accounts. */
export interface ChaosEnvironment {
  rotation: Switches['rotation']
  standIn: StandIn
  /** The same data, opened in this process to inspect what the brokers have written. */
  services: Services
  brokers: Broker[]
  /** When brokers that had been paused for longer than a lease resumed. */
  resumedAt: number[]
  /** Injected faults with start and end. */
  faults: { name: string; from: number; to: number }[]
  devices: Device[]
  dataDir: string
  /** The data is on a small disk of its own, which can be filled. `false`: no permission to mount one. */
  hasOwnDisk: boolean
  /** Log of all brokers. */
  logFile: string
  end(keepLog?: boolean): Promise<void>
}

const DISK_SIZE_MB = 48

export async function createEnvironment(options: {
  rotation: Switches['rotation']
  brokers: number
  connections: number
}): Promise<ChaosEnvironment> {
  const folder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-chaos-'))
  const dataDir = join(folder, 'data')
  const hasOwnDisk = mountDisk(dataDir)
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
    // Compile once, although brokers are killed often.
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
    resumedAt: [],
    faults: [],
    devices,
    dataDir,
    hasOwnDisk,
    logFile: env.CHAOS_LOG,
    async end(keepLog = false) {
      await Promise.all(brokers.map((broker) => broker.end()))
      await services.stop()
      await standIn.close()
      rmSync(program)
      if (hasOwnDisk) execFileSync('umount', [dataDir])
      if (!keepLog) rmSync(folder, { recursive: true, force: true })
    },
  }
}

function mountDisk(dataDir: string): boolean {
  mkdirSync(dataDir, { mode: 0o700 })
  try {
    const size = `size=${DISK_SIZE_MB}m,mode=700`
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', dataDir], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
