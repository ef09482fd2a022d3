import { Command, Option } from 'commander'
import type { App } from '../../db/store.ts'
import { appDefaults } from '../oauth/apps.ts'
import type { AppSettings } from '../oauth/apps.ts'
import { formatDuration, parseDuration } from '../oauth/duration.ts'
import { ACTOR, withServices } from './with-services.ts'
import { UsageError, print, printJson, printTable, time } from './output.ts'

interface Flags {
  redirectUri?: string[]
  origin?: string[]
  name?: string
  confidential?: boolean
  trusted?: boolean
  tokenLifetime?: string
  deliver?: App['deliver']
  tokens?: App['tokens']
  device?: boolean
  dpop?: App['dpop']
  json?: boolean
}

/** `app`: the programs that may ask for tokens. */
export function appCommand(): Command {
  const app = new Command('app').description('the programs that may ask for tokens')

  settings(app.command('add <name>').description('register an app; prints its client_id'))
    .option('--confidential', 'it has a back end, and gets a client_secret')
    .action(add)

  app
    .command('list')
    .description('all apps')
    .option('--json', 'as JSON')
    .action(({ json }: Flags) =>
      withServices(async ({ apps }) => {
        const all = await apps.list()
        if (json) return printJson(all.map(describe))
        printTable(all.map(row), 'No app yet: add one with `app add NAME --redirect-uri URI`.')
      }),
    )

  app
    .command('show <client_id>')
    .description('one app')
    .option('--json', 'as JSON')
    .action((id: string, { json }: Flags) =>
      withServices(async ({ apps }) => show(await apps.get(id), json)),
    )

  settings(
    app.command('set <client_id>').description('change an app; lists replace what was there'),
  )
    .option('--name <name>', 'what people see')
    .option('--no-trusted', 'ask for it like for any other')
    .option('--no-device', 'not on devices without a browser')
    .action((id: string, flags: Flags) =>
      withServices(async ({ apps }) => show(await apps.set(id, changes(flags), ACTOR), flags.json)),
    )

  app
    .command('remove <client_id>')
    .description('remove an app and revoke its grants')
    .action((id: string) =>
      withServices(async ({ apps }) => {
        if (!(await apps.remove(id, ACTOR))) throw new UsageError(`There is no app ${id}.`)
        print(
          `Removed ${id}. Its broker tokens are refused from now on; access tokens it holds live until they end.`,
        )
      }),
    )

  app
    .command('rotate-secret <client_id>')
    .description('a new client_secret; the old one is accepted for a while')
    .option('--overlap <duration>', 'how long the old one is accepted', '7d')
    .option('--json', 'as JSON')
    .action((id: string, { overlap, json }: { overlap: string; json?: boolean }) =>
      withServices(async ({ apps }) => {
        const seconds = parseDuration(overlap)
        const secret = (await apps.rotateSecret(id, seconds, ACTOR)).reveal()
        if (json) return printJson({ client_id: id, client_secret: secret })
        print(
          `client_secret  ${secret}\n\nIt is shown this once. The old one is accepted for ${overlap} more.`,
        )
      }),
    )
  return app
}

function settings(command: Command): Command {
  return command
    .option('--redirect-uri <uri...>', 'where its users return to; exact')
    .option(
      '--origin <origin...>',
      'origins that may call it from a browser (default: those of the redirect URIs)',
    )
    .option('--trusted', 'one of your own: its users are not asked')
    .option('--token-lifetime <duration>', 'life of a broker token (default: 30d)')
    .addOption(
      new Option(
        '--deliver <way>',
        'fragment: an access token in the URL, for a page without a back end; less safe',
      ).choices(['code', 'fragment']),
    )
    .addOption(
      new Option(
        '--tokens <whose>',
        'ellipsis: plain OAuth, with Ellipsis Drive’s access token, for any OAuth library',
      ).choices(['broker', 'ellipsis']),
    )
    .addOption(
      new Option(
        '--dpop <when>',
        'required: its broker tokens are bound to a key of its own (RFC 9449), and worth nothing when copied',
      ).choices(['optional', 'required']),
    )
    .option(
      '--device',
      'for programs without a browser: people type a code (RFC 8628); needs no redirect URI',
    )
    .option('--json', 'as JSON')
}

function changes(flags: Flags): Partial<AppSettings> {
  const { name, redirectUri, origin, trusted, tokenLifetime, deliver, tokens, device, dpop } = flags
  return {
    ...(name !== undefined && { name }),
    ...(redirectUri && { redirectUris: redirectUri }),
    ...(origin && { origins: origin }),
    ...(trusted !== undefined && { trusted }),
    ...(tokenLifetime !== undefined && { tokenLifetimeSeconds: parseDuration(tokenLifetime) }),
    ...(deliver && { deliver }),
    ...(tokens && { tokens }),
    ...(device !== undefined && { device }),
    ...(dpop && { dpop }),
  }
}

async function add(name: string, flags: Flags): Promise<void> {
  if (!flags.redirectUri && !flags.device) {
    throw new UsageError(
      'Say where its users return to: --redirect-uri https://app.example.com/ (or --device, if it has no browser)',
    )
  }
  const asked = { redirectUris: flags.redirectUri ?? [], confidential: flags.confidential ?? false }
  const wanted = { ...appDefaults, ...changes(flags), ...asked, name }
  await withServices(async ({ apps, config }) => {
    const { app, clientSecret } = await apps.add(wanted, ACTOR)
    const secret = clientSecret?.reveal()
    if (flags.json) return printJson({ ...describe(app), ...(secret && { client_secret: secret }) })
    print(`client_id      ${app.id}`)
    if (secret) print(`client_secret  ${secret}\n\nThe secret is shown this once.`)
    print(`\nConnect link   ${config.publicUrl}/connect/${app.id}`)
    if (app.device) print(`Device page    ${config.publicUrl}/device`)
  })
}

function show(app: App, json?: boolean): void {
  if (json) return printJson(describe(app))
  for (const [key, value] of Object.entries(describe(app))) {
    print(`${key.padEnd(16)}${Array.isArray(value) ? value.join('\n'.padEnd(17)) : String(value)}`)
  }
}

const describe = (app: App) => ({
  client_id: app.id,
  name: app.name,
  type: app.confidential ? 'confidential' : 'public',
  redirect_uris: app.redirectUris,
  origins: app.origins,
  trusted: app.trusted,
  token_lifetime: formatDuration(app.tokenLifetimeSeconds),
  deliver: app.deliver,
  tokens: app.tokens,
  device: app.device,
  dpop: app.dpop,
  live_secrets: app.secrets.length,
  created_at: time(app.createdAt),
})

const row = (app: App) => ({
  client_id: app.id,
  name: app.name,
  type: app.confidential ? 'confidential' : 'public',
  redirect_uri: app.redirectUris.join(' '),
})
