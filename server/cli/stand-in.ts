import { Command } from 'commander'
import { explainListenError } from '../data/start-error.ts'
import { standInDefaults, startStandIn } from '../stand-in/app.ts'
import { parsePort, print } from './output.ts'
import { stopped } from './serve.ts'

interface Flags {
  port: string
  redirectUri: string[]
}

/** `stand-in`: the local Ellipsis Drive alone, to develop against. */
export function standInCommand(): Command {
  return new Command('stand-in')
    .description('the local Ellipsis Drive alone, to develop against')
    .option('--port <port>', 'where it listens', '4001')
    .option('--redirect-uri <uri...>', 'callback URLs of its one client', [
      'http://127.0.0.1:3000/callback',
    ])
    .action(async ({ port, redirectUri }: Flags) => {
      const client = { ...standInDefaults.client, redirectUris: redirectUri }
      const address = { host: '127.0.0.1', port: parsePort(port) }
      const standIn = await startStandIn({ ...address, clients: [client] }).catch(
        explainListenError(address),
      )
      const end = stopped({ info: () => undefined, error: console.error }, () => standIn.close())
      print(`A local Ellipsis Drive, for development only: ${standIn.url}

Point a broker at it:
  ELLIPSIS_API_URL=${standIn.apiUrl}
  ELLIPSIS_CLIENT_ID=${client.id}
  ELLIPSIS_CLIENT_SECRET=${client.secret}

Its callback URLs are ${redirectUri.join(' ')}. Stop it with Ctrl-C.`)
      await end
    })
}
