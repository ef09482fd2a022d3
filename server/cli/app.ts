import { readFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import type { App } from '../../db/store.ts'
import { appOptions } from '../oauth/app-options.ts'
import type { AppOptions } from '../oauth/app-options.ts'
import { appDefaults, isBrowserApp, parseRequestLimit } from '../oauth/app-settings.ts'
import { readJwks } from '../oauth/client-jwks.ts'
import { validSecrets } from '../oauth/apps.ts'
import type { AppSettings } from '../oauth/app-settings.ts'
import { formatDuration, formatLimit, parseDuration, parseLimit } from '../oauth/duration.ts'
import { ACTOR, withServices } from './with-services.ts'
import { UsageError, formatTime, print, printJson, printTable, printable } from './terminal.ts'

interface Flags extends Partial<AppOptions> {
  redirectUri?: string[]
  origin?: string[]
  name?: string
  confidential?: boolean
  tokenLifetime?: string
  grantLifetime?: string
  /** `false`: `--no-allow`. */
  allow?: string[] | false
  requestsPerMinute?: string
  requestsPerDay?: string
  /** A file with a JWK Set; `false`: remove the app's keys. */
  jwks?: string | false
  jwksUri?: string
  /** `false`: remove the app's secrets. */
  secret?: boolean
  json?: boolean
  add?: boolean
}

/** `app`: the programs that may ask for tokens. */
export function appCommand(): Command {
  const app = new Command('app').description('manage the apps that may ask for tokens')

  addSettings(app.command('add <name>').description('register an app; prints its client_id'))
    .option('--confidential', 'the app has a back end; it gets a client_secret, unless it has keys')
    .action(add)

  app
    .command('list')
    .description('list all apps')
    .option('--json', 'print JSON')
    .action(({ json }: Flags) =>
      withServices(async ({ apps, clock }) => {
        const all = await apps.list()
        if (json) return printJson(all.map((each) => toJson(each, clock.now())))
        printTable(all.map(toRow), 'No apps yet. Add one with `app add NAME --redirect-uri URI`.')
      }),
    )

  app
    .command('show <client_id>')
    .description('show an app')
    .option('--json', 'print JSON')
    .action((id: string, { json }: Flags) =>
      withServices(async ({ apps, clock }) => show(await apps.get(id), clock.now(), json)),
    )

  const set = addSettings(
    app
      .command('set <client_id>')
      .description('change an app; a given list replaces the old one, unless --add'),
  )
    .option('--name <name>', 'the name that users see')
    .option('--add', 'add the given redirect URIs, origins and rules to those of the app')
    .option('--no-allow', 'remove all rules; asks users again')
    .option('--no-jwks', 'remove the keys of the app')
    .option('--no-secret', 'remove all secrets of an app that has keys')
  for (const [name, { negatedHelp }] of appOptions) {
    if (negatedHelp !== undefined) set.option(`--no-${toCase(name, '-')}`, negatedHelp)
  }
  set.action((id: string, flags: Flags) =>
    withServices(async ({ apps, clock }) => {
      const changes = await readChanges(flags)
      const changed = await apps.set(id, changes, ACTOR, { add: flags.add === true })
      const after = flags.secret === false ? await apps.removeSecrets(id, ACTOR) : changed
      show(after, clock.now(), flags.json)
    }),
  )

  app
    .command('remove <client_id>')
    .description('remove an app and revoke its grants')
    .action((id: string) =>
      withServices(async ({ apps }) => {
        if (!(await apps.remove(id, ACTOR))) throw new UsageError(`There is no app ${id}.`)
        print(
          `Removed ${id}. Its broker tokens are refused from now on. Access tokens that it holds stay valid until they expire.`,
        )
      }),
    )

  app
    .command('rotate-secret <client_id>')
    .description('create a new client_secret; the old one stays valid for a while')
    .option('--overlap <duration>', 'how long the old secret stays valid', '7d')
    .option('--json', 'print JSON')
    .action((id: string, { overlap, json }: { overlap: string; json?: boolean }) =>
      withServices(async ({ apps }) => {
        const seconds = parseDuration(overlap)
        const secret = (await apps.rotateSecret(id, seconds, ACTOR)).reveal()
        if (json) return printJson({ client_id: id, client_secret: secret })
        print(
          `client_secret  ${secret}\n\nThis secret is shown only once. The old one is accepted for ${overlap} more.`,
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
      'origins that may call the broker from a browser or web view, such as https://app.example.com or capacitor://localhost (default: those of the redirect URIs)',
    )
    .option('--token-lifetime <duration>', 'lifetime of a broker token (default: 30d)')
    .option(
      '--grant-lifetime <duration>',
      'after this time users connect again, even if the token is renewed: 90d, or off (default: 90d for public apps on the web, otherwise off)',
    )
    .option(
      '--allow <rule...>',
      "through the proxy, allow only requests that match a rule: 'GET /path/*/raster/**', where * is one segment and ** at the end any rest; GET includes HEAD, and the method * is any",
    )
    .option(
      '--requests-per-minute <number>',
      'proxied requests of all users together per minute, or off (default: off)',
    )
    .option(
      '--requests-per-day <number>',
      'proxied requests of all users together per day, or off (default: off)',
    )
    .option(
      '--jwks <file>',
      'public keys that a confidential app authenticates with (private_key_jwt, RFC 7523): a file with a JWK Set',
    )
    .option('--jwks-uri <url>', 'where the app publishes these keys, instead of a file')
  for (const [name, { default: initial, help, values }] of appOptions) {
    const flag = `--${toCase(name, '-')}`
    if (typeof initial === 'boolean') command.option(flag, help)
    else command.addOption(new Option(`${flag} <value>`, help).choices(Object.keys(values)))
  }
  return command.option('--json', 'print JSON')
}

/** A field's name in snake_case or kebab-case. */
const toCase = (name: string, separator: '_' | '-'): string =>
  name.replace(/[A-Z]/g, (letter) => separator + letter.toLowerCase())

async function readChanges(flags: Flags): Promise<Partial<AppSettings>> {
  const { name, redirectUri, origin, tokenLifetime, grantLifetime } = flags
  const { allow, requestsPerMinute, requestsPerDay } = flags
  const options = appOptions.filter(([option]) => flags[option] !== undefined)
  return {
    ...(name !== undefined && { name }),
    ...(redirectUri && { redirectUris: redirectUri }),
    ...(origin && { origins: origin }),
    ...(tokenLifetime !== undefined && { tokenLifetimeSeconds: parseDuration(tokenLifetime) }),
    ...(grantLifetime !== undefined && { grantLifetimeSeconds: parseLimit(grantLifetime) }),
    ...(allow !== undefined && { allow: allow === false ? [] : allow }),
    ...(requestsPerMinute !== undefined && {
      requestsPerMinute: parseRequestLimit(requestsPerMinute),
    }),
    ...(requestsPerDay !== undefined && { requestsPerDay: parseRequestLimit(requestsPerDay) }),
    ...(await readKeys(flags)),
    ...Object.fromEntries(options.map(([option]) => [option, flags[option]])),
  }
}

/** An app has keys of one kind: a file replaces a URL, and the reverse. */
async function readKeys(flags: Flags): Promise<Partial<Pick<AppSettings, 'jwks' | 'jwksUri'>>> {
  const { jwks: file, jwksUri = null } = flags as Flags & { jwksUri?: string | null }
  if (file === undefined && jwksUri === null) return {}
  if (file === undefined || file === false) return { jwks: null, jwksUri }
  if (jwksUri !== null) throw new UsageError('Give --jwks or --jwks-uri, not both.')
  try {
    return { jwks: await readFile(file, 'utf8'), jwksUri: null }
  } catch (error) {
    throw new UsageError(`${file} can’t be read (${(error as NodeJS.ErrnoException).code}).`)
  }
}

async function add(name: string, flags: Flags): Promise<void> {
  if (!flags.redirectUri && !flags.device) {
    throw new UsageError(
      'Give a redirect URI: --redirect-uri https://app.example.com/ (or --device for a program without a browser).',
    )
  }
  const settings = {
    ...appDefaults,
    ...(await readChanges(flags)),
    redirectUris: flags.redirectUri ?? [],
    confidential: flags.confidential ?? false,
    name,
  }
  await withServices(
    async ({ apps, clock, config }) => {
      const { app, clientSecret } = await apps.add(settings, ACTOR)
      const secret = clientSecret?.reveal()
      if (flags.json) {
        return printJson({ ...toJson(app, clock.now()), ...(secret && { client_secret: secret }) })
      }
      print(`client_id      ${app.id}`)
      if (secret) print(`client_secret  ${secret}\n\nThe secret is shown only once.`)
      print(`\n${connectAdvice(app, config.publicUrl)}`)
      if (app.device) print(`Device page    ${config.publicUrl}/device`)
      if (isBrowserApp(app) && app.dpop === 'optional' && app.deliver === 'code')
        print(DPOP_ADVICE(app))
    },
    { create: true },
  )
}

/** Where users connect. A connect link gives a back end nothing: it has no code that the server redeems. */
function connectAdvice({ confidential, id, redirectUris }: App, publicUrl: string): string {
  if (!confidential) return `Connect link   ${publicUrl}/connect/${id}`
  if (redirectUris.length === 0) return 'Users connect on the device page.'
  return `Authorize at   ${publicUrl}/oauth/authorize

Your server sends users there, and redeems the code that they return with. Without it, the app has no grant.`
}

const DPOP_ADVICE = ({ id }: App): string =>
  `
Recommended: let the app use DPoP, so that a stolen broker token is useless. When it does, enforce it:
  ellipsis-broker app set ${id} --dpop required`

function show(app: App, now: number, json?: boolean): void {
  if (json) return printJson(toJson(app, now))
  for (const [key, value] of Object.entries(toJson(app, now))) {
    const lines = [value].flat().map((each) => printable(String(each ?? '')))
    print(`${key.padEnd(20)}${lines.join('\n'.padEnd(21))}`)
  }
}

const toJson = (app: App, now: number) => ({
  client_id: app.id,
  name: app.name,
  type: app.confidential ? 'confidential' : 'public',
  redirect_uris: app.redirectUris,
  origins: app.origins,
  token_lifetime: formatDuration(app.tokenLifetimeSeconds),
  grant_lifetime: formatLimit(app.grantLifetimeSeconds),
  ...Object.fromEntries(appOptions.map(([option]) => [toCase(option, '_'), app[option]])),
  allow: app.allow,
  requests_per_minute: app.requestsPerMinute ?? 'off',
  requests_per_day: app.requestsPerDay ?? 'off',
  jwks_uri: app.jwksUri,
  key_ids: app.jwks === null ? [] : readJwks(app.jwks).keys.map(({ kid }) => kid ?? 'no kid'),
  live_secrets: validSecrets(app, now).length,
  created_at: formatTime(app.createdAt),
})

const toRow = (app: App) => ({
  client_id: app.id,
  name: app.name,
  type: app.confidential ? 'confidential' : 'public',
  redirect_uri: app.redirectUris.join(' '),
})
