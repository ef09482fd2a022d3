import { Command } from 'commander'
import { explainListenError } from '../data/start-error.ts'
import { makeDirectory, stateFileIn } from './demo-data.ts'
import { treatOutputAsLog } from './output.ts'
import { parsePort, print } from './terminal.ts'
import { waitForStop } from './serve.ts'

interface Flags {
  port: string
  redirectUri: string[]
  data?: string
}

/** `stand-in`: a local Ellipsis Drive for development. */
export function standInCommand(): Command {
  return new Command('stand-in')
    .description('run a local Ellipsis Drive for development')
    .option('--port <port>', 'port to listen on', '4001')
    .option('--redirect-uri <uri...>', 'callback URLs of its OAuth client', [
      'http://127.0.0.1:3000/callback',
    ])
    .option('--data <dir>', 'keep users and tokens in this directory between starts')
    .action(async ({ port, redirectUri, data }: Flags) => {
      const { standInDefaults, startStandIn } = await import('../stand-in/app.ts')
      const client = { ...standInDefaults.client, redirectUris: redirectUri }
      const address = { host: '127.0.0.1', port: parsePort(port) }
      const stateFile = data === undefined ? undefined : stateFileIn(makeDirectory(data))
      const standIn = await startStandIn({ ...address, clients: [client], stateFile }).catch(
        explainListenError(address),
      )
      const stopped = waitForStop({ info: () => undefined, error: console.error }, () =>
        standIn.close(),
      )
      print(`A local Ellipsis Drive, for development only: ${standIn.url}

Settings for a broker that uses it:
  ELLIPSIS_API_URL=${standIn.apiUrl}
  ELLIPSIS_CLIENT_ID=${client.id}
  ELLIPSIS_CLIENT_SECRET=${client.secret}

Its callback URLs are ${redirectUri.join(' ')}. Stop it with Ctrl-C.`)
      treatOutputAsLog()
      await stopped
    })
}
