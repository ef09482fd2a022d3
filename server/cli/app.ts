import { Command, Option } from 'commander'
import type { App } from '../../db/store.ts'
import { appOptions } from '../oauth/app-options.ts'
import type { AppOptions } from '../oauth/app-options.ts'
import { appDefaults } from '../oauth/apps.ts'
import type { AppSettings } from '../oauth/apps.ts'
import { formatDuration, parseDuration } from '../oauth/duration.ts'
import { ACTOR, withServices } from './with-services.ts'
import { UsageError, print, printJson, printTable, time } from './output.ts'

interface Flags extends Partial<AppOptions> {
  redirectUri?: string[]
  origin?: string[]
  name?: string
  confidential?: boolean
  tokenLifetime?: string
  json?: boolean
}

/** `app`: the programs that may ask for tokens. */
export function appCommand(): Command {
  const app = new Command('app').description('the programs that may ask for tokens')

  addSettings(app.command('add <name>').description('register an app; prints its client_id'))
    .option('--confidential', 'the app has a back end and gets a client_secret')
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

  const set = addSettings(
    app.command('set <client_id>').description('change an app; a given list replaces the old one'),
  ).option('--name <name>', 'the name that users see')
  for (const [name, { negatedHelp }] of appOptions) {
    if (negatedHelp !== undefined) set.option(`--no-${toCase(name, '-')}`, negatedHelp)
  }
  set.action((id: string, flags: Flags) =>
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

function addSettings(command: Command): Command {
  command
    .option('--redirect-uri <uri...>', 'where users return to after connecting; matched exactly')
    .option(
      '--origin <origin...>',
      'origins that may call the broker from a browser (default: those of the redirect URIs)',
    )
    .option('--token-lifetime <duration>', 'lifetime of a broker token (default: 30d)')
    .option('--json', 'print JSON')
  for (const [name, { default: initial, help, values }] of appOptions) {
    const flag = `--${toCase(name, '-')}`
    if (typeof initial === 'boolean') command.option(flag, help)
    else command.addOption(new Option(`${flag} <value>`, help).choices(Object.keys(values)))
  }
  return command
}

/** A field's name in snake_case or kebab-case. */
const toCase = (name: string, separator: '_' | '-'): string =>
  name.replace(/[A-Z]/g, (letter) => separator + letter.toLowerCase())

function changes(flags: Flags): Partial<AppSettings> {
  const { name, redirectUri, origin, tokenLifetime } = flags
  const options = appOptions.filter(([option]) => flags[option] !== undefined)
  return {
    ...(name !== undefined && { name }),
    ...(redirectUri && { redirectUris: redirectUri }),
    ...(origin && { origins: origin }),
    ...(tokenLifetime !== undefined && { tokenLifetimeSeconds: parseDuration(tokenLifetime) }),
    ...Object.fromEntries(options.map(([option]) => [option, flags[option]])),
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
  token_lifetime: formatDuration(app.tokenLifetimeSeconds),
  ...Object.fromEntries(appOptions.map(([option]) => [toCase(option, '_'), app[option]])),
  live_secrets: app.secrets.length,
  created_at: time(app.createdAt),
})

const row = (app: App) => ({
  client_id: app.id,
  name: app.name,
  type: app.confidential ? 'confidential' : 'public',
  redirect_uri: app.redirectUris.join(' '),
})
