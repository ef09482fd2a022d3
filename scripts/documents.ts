import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { format, resolveConfig } from 'prettier'
import { program } from '../server/cli/program.ts'
import { formatEnvExample, settings } from '../server/config/settings.ts'
import { answers } from '../server/errors.ts'
import { EVENT_TEXTS } from '../server/events/event-texts.ts'
import { messages } from '../server/operate/messages.ts'
import { sdkReference } from './sdk-reference.ts'
import { CONTROL_TEXTS, ENDPOINTS, FAULT_TEXTS, switchSchema } from '../server/stand-in/app.ts'

const root = join(import.meta.dirname, '..')

/** Generates every document that is derived from code, fully or in part. Returns texts by path. */
export async function generateDocuments(): Promise<Record<string, string>> {
  return {
    '.env.example': formatEnvExample(),
    'docs/configure.md': await prettify('docs/configure.md', configurePage()),
    'docs/commands.md': await prettify('docs/commands.md', commandsPage()),
    'docs/develop.md': await prettify('docs/develop.md', insertStandIn('docs/develop.md')),
    'docs/protocol.md': await prettify('docs/protocol.md', insertErrors('docs/protocol.md')),
    'docs/sdk.md': await prettify(
      'docs/sdk.md',
      replacePart('docs/sdk.md', 'reference', sdkReference()),
    ),
    'docs/events.md': await prettify('docs/events.md', insertEventTypes('docs/events.md')),
    'docs/operate.md': await prettify('docs/operate.md', insertMessages('docs/operate.md')),
  }
}

async function prettify(path: string, text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(join(root, path))), filepath: path })
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

function configurePage(): string {
  const rows = settings.map(({ name, about, where, default: defaultValue, secret, required }) => {
    const value = required ? 'required' : defaultValue === null ? 'not set' : `\`${defaultValue}\``
    const file = secret ? ` A secret: \`${name}_FILE\` can name a file that contains it.` : ''
    return `| \`${name}\` | ${value} | ${cell(about)} ${cell(where)}${file} |`
  })
  return `# Settings

Settings are environment variables. A settings file is read too; the environment overrides it. The first of these places is used, and no other:

1. the file that the command line names: \`ellipsis-broker --env-file FILE COMMAND\`
2. \`.env\` in the working directory
3. the environment alone, if it sets \`BROKER_DATA_DIR\` or \`ELLIPSIS_CLIENT_ID\`, as in a container or under a supervisor
4. the settings of the installed service, from every directory: the \`EnvironmentFile=\` and \`Environment=\` of the systemd unit \`ellipsis-broker.service\` and its drop-ins. Without a unit: \`/etc/ellipsis-broker.env\`, with \`BROKER_DATA_DIR=/var/lib/ellipsis-broker\`

The file must belong to the user who runs the command, or to root, and nobody else may write it; otherwise the command stops and prints the \`chmod\` or \`chown\` to run.

With \`--env-file\` and the file of a unit, that unit's \`Environment=\` counts, too. If several services are installed (units \`ellipsis-broker…\` with different files or data directories), commands list them and ask for \`--env-file\`. \`BROKER_PUBLIC_URL\` defaults to the one that \`serve\` last used for the data, for every other command.

Files are UTF-8, with or without a byte-order mark; quotation marks that \`docker --env-file\` leaves around a value do not count (around \`ELLIPSIS_CLIENT_SECRET\` they are refused, because they may be part of it). Variables that Kubernetes makes of a service named \`broker\` or \`ellipsis\`, such as \`BROKER_PORT=tcp://10.0.0.1:3000\`, are not settings. If settings are missing or invalid, the broker lists all problems with their fixes and exits with code 2. [.env.example](../.env.example) has the same list to copy.

| setting | default | description |
|---|---|---|
${rows.join('\n')}

Stored refresh tokens work only with the \`ELLIPSIS_CLIENT_ID\` and \`ELLIPSIS_API_URL\` that they were issued for. If one of these settings changes, \`serve\` refuses to start; to change it on purpose, start once with \`serve --accept-client-change\`. Before you change \`BROKER_PUBLIC_URL\`, register the new callback URL at Ellipsis Drive. Broker tokens issued under the old URL stay valid.
`
}

function commandsPage(): string {
  const rows = program()
    .commands.flatMap((command) => [...leaves(command, [])])
    .map(
      ([name, command]) =>
        `| \`${name}\` | ${cell(command.description())}${formatOptions(command)} |`,
    )
  return `# Commands

From a checkout: \`npm run --silent broker -- COMMAND\`. With the single binary: \`ellipsis-broker COMMAND\`. A supervisor has to start \`node server/main.ts serve\` or the binary: npm passes SIGTERM only to the shell between, and the broker goes on. All commands except \`serve\`, \`demo\` and \`stand-in\` work on the data directory, whether a broker runs or not. They find it through the [settings](configure.md), and say on standard error which one they used, unless it is \`./data\`. \`serve\` creates a database; so do the first \`app add\` or \`admin add\`, and \`restore\`, if \`BROKER_DATA_DIR\` is set. Every other command without a database exits with code 2 and names the directory and the settings files that it looked at.

\`ellipsis-broker --env-file FILE COMMAND\` reads the settings from that file and from no other. Every listing takes \`--json\`. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

| command | description |
|---|---|
${rows.join('\n')}
`
}

/** Commands without subcommands, with their full names. */
function* leaves(command: Command, parents: string[]): Generator<[string, Command]> {
  const names = [...parents, command.name()]
  if (command.commands.length === 0) {
    const args = command.registeredArguments.map((argument) => argument.name().toUpperCase())
    yield [[...names, ...args].join(' '), command]
  }
  for (const child of command.commands) yield* leaves(child, names)
}

function formatOptions({ options }: Command): string {
  const formatted = options.map(({ flags, description }) => `\`${flags}\`: ${cell(description)}`)
  return formatted.length === 0 ? '' : `. ${formatted.join('; ')}`
}

/** A page with the table of errors inserted. */
function insertErrors(path: string): string {
  const rows = Object.entries(answers).map(
    ([code, { status, description }]) => `| \`${code}\` | ${status} | ${cell(description)} |`,
  )
  return replacePart(
    path,
    'errors',
    `| code | status | what to do |\n|---|---|---|\n${rows.join('\n')}`,
  )
}

/** A page with tables of what controls the stand-in inserted. */
function insertStandIn(path: string): string {
  const table = (heading: string, rows: [string, string][]) =>
    `| ${heading} | |\n|---|---|\n${rows.map(([name, text]) => `| \`${name}\` | ${cell(text)} |`).join('\n')}`
  const switches = Object.entries(switchSchema.properties).map(
    ([name, { description }]): [string, string] => [name, description],
  )
  const tables = [
    table('control route', CONTROL_TEXTS),
    table('switch', switches),
    table('fault', FAULT_TEXTS),
  ]
  const endpoints = `Endpoints of faults: ${ENDPOINTS.map((name) => `\`${name}\``).join(', ')}.`
  return replacePart(path, 'stand-in', [...tables, endpoints].join('\n\n'))
}

/** A page with the table of types of events inserted. */
function insertEventTypes(path: string): string {
  const rows = Object.entries(EVENT_TEXTS).map(([type, text]) => `| \`${type}\` | ${cell(text)} |`)
  return replacePart(path, 'types', `| type | what happened |\n|---|---|\n${rows.join('\n')}`)
}

/** A page with a table of messages per command inserted. */
function insertMessages(path: string): string {
  const all = Object.values(messages)
  const tables = [...new Set(all.map(({ command }) => command))].map((command) => {
    const rows = all
      .filter((message) => message.command === command)
      .map(({ exit, text, fix }) => `| ${cell(text)} | ${exit} | ${cell(fix)} |`)
    const title = command === 'start' ? 'Every command on the data' : `\`${command}\``
    return `### ${title}\n\n| it says | exit | what to do |\n|---|---|---|\n${rows.join('\n')}`
  })
  return replacePart(path, 'messages', tables.join('\n\n'))
}

/** Replaces the text between `<!-- name -->` and `<!-- /name -->`. */
function replacePart(path: string, name: string, part: string): string {
  const text = readFileSync(join(root, path), 'utf8')
  const pattern = new RegExp(`(<!-- ${name} -->\\n)[^]*?(\\n<!-- /${name} -->)`)
  return text.replace(pattern, (_match, start: string, end: string) => `${start}\n${part}\n${end}`)
}
