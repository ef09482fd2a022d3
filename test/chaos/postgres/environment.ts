import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../../server/config/config.ts'
import { openData } from '../../../server/data/open-data.ts'
import { createLog } from '../../../server/log.ts'
import { runtime } from '../../../server/runtime.ts'
import { compose } from '../../../server/services.ts'
import { standInDefaults, startStandIn } from '../../../server/stand-in/app.ts'
import type { Switches } from '../../../server/stand-in/app.ts'
import { testClock } from '../../helper.ts'
import { connectMany } from '../../operate/load.ts'
import { makeFolder } from '../../temporary.ts'
import { Broker, bundleBroker } from '../broker.ts'
import type { ChaosEnvironment } from '../environment.ts'
import { createChurn } from './churn.ts'
import { clockEnvironment } from './clock.ts'
import { BLOCKING_FAULTS, injectFaults } from './faults.ts'
import { createBridge, Host } from './hosts.ts'
import { Pair, PORT, Server } from './pair.ts'

/** Brokers, each on a machine of its own, and a primary with a synchronous standby, each on another. */
export interface PostgresEnvironment extends ChaosEnvironment {
  /** Of the brokers, in the same order. */
  hosts: Host[]
  pair: Pair
  /** Brokers are not killed or paused, and no answer of upstream is lost. */
  spareBrokers: boolean
}

const NETWORK = '10.77.0'
const OWN_ADDRESS = `${NETWORK}.1`
const DATABASE = 'broker'
const HOUR_MS = 3_600_000
/** The silence after which a process counts as dead. */
const LEASE_MS = 120_000
/** The clocks of the brokers' machines at first, and of the two servers, which measure the leases. */
const CLOCKS_MS = [-5 * HOUR_MS, 0, 26 * HOUR_MS]
const SERVER_CLOCKS_MS = [0, 3 * HOUR_MS]

/** Call it in a network of its own: `enterOwnNetwork`. */
export async function createPostgresEnvironment(options: {
  rotation: Switches['rotation']
  brokers: number
  connections: number
  spareBrokers: boolean
}): Promise<PostgresEnvironment> {
  createBridge(OWN_ADDRESS)
  const folder = makeFolder()
  // The other folder is in memory that only this process and its children see.
  const logFolder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-chaos-'))
  // The servers run as another user.
  chmodSync(folder, 0o711)
  const [one, other] = await Promise.all(
    SERVER_CLOCKS_MS.map(async (clockOffsetMs, index) => {
      const host = await Host.create(`${NETWORK}.${21 + index}`)
      const log = join(logFolder, `server-${index}.log`)
      return new Server(host, join(folder, `server-${index}`), { clockOffsetMs, log })
    }),
  )
  const pair = await Pair.start(one as Server, other as Server)
  await pair.primary.ask(`create database ${DATABASE}`)

  const url = 'http://127.0.0.1:1'
  const client = { ...standInDefaults.client, redirectUris: [`${url}/callback`] }
  const switches = { rotation: options.rotation, tokenDelay: 30, tokenLifetime: 600 }
  const standIn = await startStandIn({ host: OWN_ADDRESS, port: 0, clients: [client], switches })
  const servers = [pair.primary, pair.standby].map(({ host }) => `${host.address}:${PORT}`)
  const env = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: standIn.apiUrl,
    BROKER_PUBLIC_URL: url,
    BROKER_DATABASE_URL: `postgres://postgres@${servers.join(',')}/${DATABASE}`,
    BROKER_FAILURE_LIMIT: '1000000',
    BROKER_LOG_LEVEL: 'warn',
    CHAOS_LOG: join(logFolder, 'brokers.log'),
    CHAOS_ANSWERS: join(logFolder, 'answers.log'),
    // Compile once, although brokers are killed often.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
  }
  const dataDir = join(folder, 'data')
  mkdirSync(dataDir)
  const config = loadConfig({ ...env, BROKER_DATA_DIR: dataDir }, { serve: true })
  const data = await openData(config, runtime, { claim: 'same' })
  const services = compose(config, createLog({ logLevel: 'silent' }), data)
  const headless = { services, standIn: standIn.standIn, clock: testClock() }
  const devices = await connectMany(headless, options.connections)

  const program = await bundleBroker()
  const hosts: Host[] = []
  const brokers: Broker[] = []
  for (let index = 0; index < options.brokers; index++) {
    const host = await Host.create(`${NETWORK}.${11 + index}`)
    const ownDataDir = join(folder, `data-${index}`)
    mkdirSync(ownDataDir, { mode: 0o700 })
    cpSync(join(dataDir, 'secret.key'), join(ownDataDir, 'secret.key'))
    const clock = clockEnvironment(CLOCKS_MS[index] ?? 0)
    const own = { ...env, ...clock, BROKER_DATA_DIR: ownDataDir }
    const { address, command } = host
    hosts.push(host)
    brokers.push(new Broker(program, own, { address, command, port: 3000 }))
  }
  await Promise.all(brokers.map((broker) => broker.start()))
  const churn = await createChurn(headless, brokers)

  const environment: PostgresEnvironment = {
    rotation: options.rotation,
    spareBrokers: options.spareBrokers,
    standIn: standIn.standIn,
    services,
    brokers,
    hosts,
    pair,
    leaseMs: LEASE_MS,
    pauses: [],
    faults: [],
    blockingFaults: BLOCKING_FAULTS,
    fullDiskFaults: [],
    losesAnswers: !options.spareBrokers,
    devices,
    logFile: env.CHAOS_LOG,
    answersFile: env.CHAOS_ANSWERS,
    injectFaults: (random, signal) => injectFaults(environment, random, signal),
    runMoreLoad: (random, signal) => churn.run(random, signal),
    checkMore: () => churn.check(),
    async end(keepLog = false) {
      await Promise.all(brokers.map((broker) => broker.end()))
      await services.stop()
      await standIn.close()
      rmSync(program)
      process.stdout.write(churn.summary())
      if (!keepLog) rmSync(logFolder, { recursive: true })
    },
  }
  return environment
}
