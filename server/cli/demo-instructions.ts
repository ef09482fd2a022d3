import { build } from '../assets.ts'
import type { DemoData } from './demo-data.ts'
import type { DemoApps, RegisteredApp } from './demo-registrations.ts'

/** Back ends in development receive webhooks on this machine. */
export const WEBHOOK_ALLOW = '127.0.0.1,::1'

/** Addresses of a demo. */
interface DemoUrls {
  broker: string
  standIn: string
  /** With a slash. */
  sample: string
  /** The API of the stand-in. */
  api: string
}

/** What a demo prints when it is ready. */
export function formatInstructions(demo: {
  urls: DemoUrls
  data: Pick<DemoData, 'directory' | 'brokerDirectory' | 'isKept'>
  admin: { email: string; password: string }
  apps: DemoApps
}): string {
  const { urls, data, admin, apps } = demo
  const { mine } = apps
  return `Ellipsis Broker's demo is ready. Nothing leaves this machine.

  Sample app   ${urls.sample}${mine ? '' : '   start here'}
  Broker       ${urls.broker}/
  Stand-in     ${urls.standIn}/   a local Ellipsis Drive${mine ? ', and how to make it fail' : ''}
  Dashboard    ${urls.broker}/admin   sign in as ${admin.email}, password ${admin.password}

${mine ? formatMyApp(mine, urls) : FIRST_STEPS}
${mine ? 'Commands on this broker, from another terminal:' : REVOKE}

     export BROKER_DATA_DIR=${data.brokerDirectory} BROKER_PUBLIC_URL=${urls.broker}${mine ? ` BROKER_WEBHOOK_ALLOW=${WEBHOOK_ALLOW}` : ''}
     ${build.command} connection list
     ${build.command} connection revoke ID
${mine?.app.confidential ? formatServerCommands(mine.app.id) : ''}
${mine ? '' : `A second app needs consent of its own: ${urls.broker}/connect/${apps.second.id}\n\n`}${
    data.isKept
      ? `Stop the demo with Ctrl-C. Apps, users and tokens are kept in ${data.directory}.`
      : 'Stop the demo with Ctrl-C. That also removes its data.'
  }`
}

const FIRST_STEPS = `Try this:
  1. Open the sample app and click "Connect Ellipsis Drive".
  2. In the popup, the broker asks for your consent. Continue, sign in as Amelie Laurent and click "Allow".
  3. The map shows her first layer. Check "Flood risk Provence" to draw it on top.
  4. Switch from "Token" to "Link": now a URL that needs no token gives the tiles.`

const REVOKE = '  5. Revoke the connection from another terminal, then click "Refresh" in the app:'

/** What a back end may need besides. */
const formatServerCommands = (id: string): string => `\
     ${build.command} app set ${id} --offline   # for work without its users
     ${build.command} webhook add URL --app ${id}   # prints the key
`

/** The configuration of the developer's app, to copy. */
function formatMyApp({ app, secret }: RegisteredApp, { broker, api }: DemoUrls): string {
  const isPage = !app.confidential && app.tokens === 'broker'
  const lines = isPage
    ? [`const broker = '${broker}'`, `const clientId = '${app.id}'`, `const api = '${api}'`]
    : [
        `BROKER=${broker}`,
        `CLIENT_ID=${app.id}`,
        ...(secret === null ? [] : [`CLIENT_SECRET=${secret}`]),
        `ELLIPSIS_API=${api}`,
      ]
  return `Your app is registered. Copy this into it:

${lines.map((line) => `     ${line}`).join('\n')}

  Issuer         ${broker}   exactly as it is written here
  Metadata       ${broker}/.well-known/openid-configuration
  Redirect URIs  ${app.redirectUris.join('\n                 ')}
`
}
