import { once } from 'node:events'
import { createServer } from 'node:net'
import { Command, Option } from 'commander'
import { loadConfig } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { createLog } from '../log.ts'
import { explainListenError } from '../data/start-error.ts'
import { openDemoData } from './demo-data.ts'
import { WEBHOOK_ALLOW, formatInstructions } from './demo-instructions.ts'
import { registerAdmin, registerApps } from './demo-registrations.ts'
import type { MyApp } from './demo-registrations.ts'
import { treatOutputAsLog } from './output.ts'
import { UsageError, parsePort, print } from './terminal.ts'
import { startBroker, waitForStop } from './serve.ts'

interface Flags {
  port?: string
  data?: string
  forMyApp?: string[]
  confidential?: boolean
  tokens?: MyApp['tokens']
}

export interface DemoOptions {
  /** Port of the broker. Default: that of the kept data, or 4000. */
  port?: number | undefined
  /** Keeps the data in this directory. Default: a temporary one, removed at the end. */
  data?: string | undefined
  /** Registers an app of the developer's. */
  myApp?: MyApp | undefined
}

interface Demo {
  /** What to print. */
  instructions: string
  /** Stops stand-in, broker and sample app, and removes temporary data. */
  stop(): Promise<void>
}

/** `demo`: stand-in, broker and sample app; also for developing an app. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'run a local Ellipsis Drive, the broker and a sample app, on temporary data; with --for-my-app, to develop an app of your own',
    )
    .option(
      '--port <port>',
      'port of the broker; stand-in and sample app use the next two (default: 4000)',
    )
    .option(
      '--for-my-app <uri...>',
      'register your app with these redirect URIs, such as http://localhost:5173/, and print its configuration; on localhost and 127.0.0.1 under both names',
    )
    .option('--confidential', 'your app has a back end and gets a client_secret')
    .addOption(new Option('--tokens <value>', 'as for `app add`').choices(['broker', 'ellipsis']))
    .option('--data <dir>', 'keep apps, users and tokens in this directory between starts')
    .action(async (flags: Flags) => {
      const { port, data } = flags
      const demo = await startDemo({
        port: port === undefined ? undefined : parsePort(port, 65_533),
        data,
        myApp: readMyApp(flags),
      })
      const stopped = waitForStop({ info: () => undefined, error: console.error }, () =>
        demo.stop(),
      )
      treatOutputAsLog()
      print(demo.instructions)
      await stopped
    })
}

/** @throws UsageError */
function readMyApp({ forMyApp, confidential = false, tokens }: Flags): MyApp | undefined {
  if (forMyApp) return { redirectUris: forMyApp, confidential, tokens }
  if (!confidential && tokens === undefined) return undefined
  throw new UsageError('Give the redirect URI of your app: --for-my-app http://localhost:5173/')
}

/** Starts all three. @throws StartError, UsageError, BrokerError `invalid_request` if the app can't be registered */
export async function startDemo({ port, data: directory, myApp }: DemoOptions): Promise<Demo> {
  // Loaded here, so that other commands start faster.
  const { buildSampleApp } = await import('../demo/sample-app.ts')
  const { standInDefaults, startStandIn } = await import('../stand-in/app.ts')
  const cleanup = new AsyncDisposableStack()
  try {
    const data = await openDemoData(directory, port)
    cleanup.defer(() => data.removeIfTemporary())
    const address = (offset: number) => ({ host: '127.0.0.1', port: data.port + offset })
    const url = (offset: number) => `http://127.0.0.1:${data.port + offset}`
    for (const offset of [0, 1, 2]) await checkPort(address(offset))
    const brokerUrl = brokerUrlFor(myApp, data.port)
    const client = { ...standInDefaults.client, redirectUris: [`${brokerUrl}/callback`] }
    const { stateFile } = data
    const standIn = await startStandIn({ ...address(1), clients: [client], stateFile }).catch(
      explainListenError(address(1)),
    )
    cleanup.defer(() => standIn.close())

    const config = demoConfig({
      ELLIPSIS_CLIENT_ID: client.id,
      ELLIPSIS_CLIENT_SECRET: client.secret,
      ELLIPSIS_API_URL: standIn.apiUrl,
      BROKER_PUBLIC_URL: brokerUrl,
      BROKER_PORT: String(data.port),
      BROKER_DATA_DIR: data.brokerDirectory,
      BROKER_WEBHOOK_ALLOW: WEBHOOK_ALLOW,
      BROKER_LOG_LEVEL: myApp ? 'info' : 'error',
    })
    const broker = await startBroker(config, createLog(config))
    cleanup.defer(() => broker.stop())
    // The store belongs to these addresses from now on, even if the app is refused.
    data.save()

    const admin = await registerAdmin(broker.services, data)
    const apps = await registerApps(broker.services, data, { sampleUrl: `${url(2)}/`, myApp })
    data.save()
    const { apiUrl } = standIn
    const sample = buildSampleApp({ brokerUrl, clientId: apps.sample.id, apiUrl })
    await sample.listen(address(2)).catch(explainListenError(address(2)))
    cleanup.defer(() => sample.close())

    const stop = cleanup.move()
    const urls = { broker: brokerUrl, standIn: url(1), sample: `${url(2)}/`, api: apiUrl }
    return {
      instructions: formatInstructions({ urls, data, admin, apps }),
      stop: () => stop.disposeAsync(),
    }
  } catch (error) {
    await cleanup.disposeAsync()
    throw error
  }
}

/** Checks the ports before any data is written: kept data remembers them. @throws StartError if it is taken */
async function checkPort(address: { host: string; port: number }): Promise<void> {
  const server = createServer().listen(address)
  await once(server, 'listening').catch(explainListenError(address))
  server.close()
  await once(server, 'close')
}

/** The broker has the host name of the developer's app, so that a URL that is typed from memory is right. */
function brokerUrlFor(myApp: MyApp | undefined, port: number): string {
  const isNamed = /^(https?:\/\/)?localhost\b/.test(myApp?.redirectUris[0] ?? '')
  return `http://${isNamed ? 'localhost' : '127.0.0.1'}:${port}`
}

const demoConfig = (settings: Record<string, string>): Config =>
  loadConfig({ ...settings, BROKER_NAME: 'the demo on your own machine' }, { serve: true })
