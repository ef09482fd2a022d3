import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { build } from '../assets.ts'
import { loadConfig } from '../config/config.ts'
import { createLog } from '../log.ts'
import { Secret } from '../secret.ts'
import { explainListenError } from '../data/start-error.ts'
import { ACTOR } from './with-services.ts'
import { treatOutputAsLog } from './output.ts'
import { parsePort, print } from './terminal.ts'
import { startBroker, waitForStop } from './serve.ts'

const DEMO_ADMIN = 'demo@example.com'

/** `demo`: stand-in, broker and sample app, on temporary data. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'run a demo: a local Ellipsis Drive, the broker and a sample app, on temporary data',
    )
    .option('--port <port>', 'port of the broker; stand-in and sample app use the next two', '4000')
    .action(async ({ port }: { port: string }) => {
      const demo = await startDemo(parsePort(port, 65_533))
      const stopped = waitForStop({ info: () => undefined, error: console.error }, () =>
        demo.stop(),
      )
      treatOutputAsLog()
      print(demo.instructions)
      await stopped
    })
}

/** Starts all three. `stop` ends them and removes their data. @throws StartError */
export async function startDemo(
  port: number,
): Promise<{ instructions: string; stop(): Promise<void> }> {
  // Loaded here, so that other commands start faster.
  const { buildSampleApp } = await import('../demo/sample-app.ts')
  const { appDefaults } = await import('../oauth/apps.ts')
  const { standInDefaults, startStandIn } = await import('../stand-in/app.ts')
  const cleanup = new AsyncDisposableStack()
  try {
    const directory = await mkdtemp(join(tmpdir(), 'ellipsis-broker-demo-'))
    cleanup.defer(() => rm(directory, { recursive: true, force: true }))
    const address = (offset: number) => ({ host: '127.0.0.1', port: port + offset })
    const url = (offset: number) => `http://127.0.0.1:${port + offset}`
    const client = { ...standInDefaults.client, redirectUris: [`${url(0)}/callback`] }
    const standIn = await startStandIn({ ...address(1), clients: [client] }).catch(
      explainListenError(address(1)),
    )
    cleanup.defer(() => standIn.close())

    const config = loadConfig(
      {
        ELLIPSIS_CLIENT_ID: client.id,
        ELLIPSIS_CLIENT_SECRET: client.secret,
        ELLIPSIS_API_URL: standIn.apiUrl,
        BROKER_PUBLIC_URL: url(0),
        BROKER_PORT: String(port),
        BROKER_DATA_DIR: directory,
        BROKER_LOG_LEVEL: 'error',
        BROKER_NAME: 'the demo on your own machine',
      },
      { serve: true },
    )
    const broker = await startBroker(config, createLog(config))
    cleanup.defer(() => broker.stop())

    const { app } = await broker.services.apps.add(
      { ...appDefaults, name: 'Sample map', redirectUris: [`${url(2)}/`] },
      ACTOR,
    )
    const { app: second } = await broker.services.apps.add(
      { ...appDefaults, name: 'Second app', redirectUris: [`${url(2)}/?second`] },
      ACTOR,
    )
    const password = randomBytes(9).toString('base64url')
    await broker.services.admins.add(DEMO_ADMIN, new Secret(password), ACTOR)
    const sample = buildSampleApp({ brokerUrl: url(0), clientId: app.id, apiUrl: standIn.apiUrl })
    await sample.listen(address(2)).catch(explainListenError(address(2)))
    cleanup.defer(() => sample.close())

    const stop = cleanup.move()
    return {
      instructions: formatInstructions({ url, directory, password, secondAppId: second.id }),
      stop: () => stop.disposeAsync(),
    }
  } catch (error) {
    await cleanup.disposeAsync()
    throw error
  }
}

function formatInstructions(demo: {
  url(offset: number): string
  directory: string
  /** Password of the demo admin. */
  password: string
  secondAppId: string
}): string {
  const { url, directory, password } = demo
  return `Ellipsis Broker's demo is ready. Nothing leaves this machine.

  Sample app   ${url(2)}/   start here
  Broker       ${url(0)}/
  Stand-in     ${url(1)}/   a local Ellipsis Drive
  Dashboard    ${url(0)}/admin   sign in as ${DEMO_ADMIN}, password ${password}

Try this:
  1. Open the sample app and click "Connect Ellipsis Drive".
  2. The broker asks for your consent. Continue to Ellipsis Drive.
  3. Sign in there as Amelie Laurent and click "Allow". The app lists her drive: open a folder.
  4. Revoke the connection from another terminal, then click "Refresh" in the app:

     export BROKER_DATA_DIR=${directory} BROKER_PUBLIC_URL=${url(0)}
     ${build.command} connection list
     ${build.command} connection revoke ID

A second app needs consent of its own: ${url(0)}/connect/${demo.secondAppId}

Stop the demo with Ctrl-C. That also removes its data.`
}
