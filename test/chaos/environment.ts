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
import { BLOCKING_FAULTS, injectFaults } from './faults.ts'
import type { SeededRandom } from './random.ts'

/** Brokers on one store, the stand-in, and the connected accounts. */
export interface ChaosEnvironment {
  rotation: Switches['rotation']
  standIn: StandIn
  /** The same data, opened in this process to inspect what the brokers have written. */
  services: Services
  brokers: Broker[]
  /** After this time, others take over the lease of a paused process. */
  leaseMs: number
  /** Of brokers, for longer than a lease; `to` is `Infinity` while one is paused. */
  pauses: { from: number; to: number }[]
  /** Injected faults with start and end. */
  faults: { name: string; from: number; to: number }[]
  /** Names of faults during which brokers cannot retry a refresh. */
  blockingFaults: string[]
  /** Names of faults during which they can't keep new tokens in a file either. */
  fullDiskFaults: string[]
  /** Do faults lose answers of upstream? Otherwise no connection may be lost. */
  losesAnswers: boolean
  devices: Device[]
  /** Log of all brokers. */
  logFile: string
  /** What the brokers received and stored: see answers.ts. */
  answersFile: string
  /** Injects faults until the signal. Returns their numbers by name. */
  injectFaults(random: SeededRandom, signal: AbortSignal): Promise<Record<string, number>>
  /** Further load until the signal, and what it found to be violated. */
  runMoreLoad?(random: SeededRandom, signal: AbortSignal): Promise<string[]>
  /** Further checks when all faults have ended. Returns violations. */
  checkMore?(): Promise<string[]>
  end(keepLog?: boolean): Promise<void>
}

/** Brokers on one data directory. */
export interface DataDirectoryEnvironment extends ChaosEnvironment {
  dataDir: string
  /** The data is on a small disk of its own, which can be filled. `false`: no permission to mount one. */
  hasOwnDisk: boolean
}

const DISK_SIZE_MB = 48

export async function createEnvironment(options: {
  rotation: Switches['rotation']
  brokers: number
  connections: number
}): Promise<DataDirectoryEnvironment> {
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
    CHAOS_ANSWERS: join(folder, 'answers.log'),
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

  const environment: DataDirectoryEnvironment = {
    rotation: options.rotation,
    standIn: standIn.standIn,
    services,
    brokers,
    leaseMs: 30_000,
    pauses: [],
    faults: [],
    blockingFaults: BLOCKING_FAULTS,
    fullDiskFaults: ['disk full'],
    losesAnswers: true,
    devices,
    dataDir,
    hasOwnDisk,
    logFile: env.CHAOS_LOG,
    answersFile: env.CHAOS_ANSWERS,
    injectFaults: (random, signal) => injectFaults(environment, random, signal),
    async end(keepLog = false) {
      await Promise.all(brokers.map((broker) => broker.end()))
      await services.stop()
      await standIn.close()
      rmSync(program)
      if (hasOwnDisk) execFileSync('umount', [dataDir])
      if (!keepLog) rmSync(folder, { recursive: true, force: true })
    },
  }
  return environment
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
