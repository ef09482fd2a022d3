import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { format, resolveConfig } from 'prettier'
import { program } from '../server/cli/program.ts'
import { settings } from '../server/config/config.ts'
import { envExample } from '../server/config/settings.ts'
import { answers } from '../server/errors.ts'
import { messages } from '../server/operate/messages.ts'

const root = join(import.meta.dirname, '..')

/** Every document, or part of one, that says what the code says: its text by its path. */
export async function documents(): Promise<Record<string, string>> {
  return {
    '.env.example': envExample(),
    'docs/configure.md': await pretty('docs/configure.md', configure()),
    'docs/commands.md': await pretty('docs/commands.md', commands()),
    'docs/protocol.md': await pretty('docs/protocol.md', withErrors('docs/protocol.md')),
    'docs/operate.md': await pretty('docs/operate.md', withMessages('docs/operate.md')),
  }
}

async function pretty(path: string, text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(join(root, path))), filepath: path })
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

function configure(): string {
  const rows = settings.map(({ name, about, where, default: usual, secret, required }) => {
    const value = required ? 'required' : usual === null ? 'not set' : `\`${usual}\``
    const file = secret ? ` A secret: \`${name}_FILE\` names a file that holds it instead.` : ''
    return `| \`${name}\` | ${value} | ${cell(about)} ${cell(where)}${file} |`
  })
  return `# Settings

Settings are environment variables. A file \`.env\` in the working directory is read too; what is set in the environment wins. Everything that is wrong is told at once at the start, with what to do about it, and the broker ends with exit code 2. [.env.example](../.env.example) is the same list, to be copied.

| setting | default | what it is, and where it is found |
|---|---|---|
${rows.join('\n')}

Settings that the data belongs to: with another \`ELLIPSIS_CLIENT_ID\` or \`ELLIPSIS_API_URL\` than the data directory has known, every refresh token in it would be refused, so \`serve\` doesn't start; if it is meant, start once with \`serve --accept-client-change\`. After a change of \`BROKER_PUBLIC_URL\`, broker tokens issued under the former one stay good; register the new callback URL at Ellipsis Drive first.
`
}

function commands(): string {
  const rows = program()
    .commands.flatMap((command) => [...leaves(command, [])])
    .map(([name, command]) => `| \`${name}\` | ${cell(command.description())}${options(command)} |`)
  return `# Commands

From a checkout: \`npm run --silent broker -- COMMAND\`; \`ellipsis-broker COMMAND\` with the single file. All but \`serve\`, \`demo\` and \`stand-in\` work on the data directory, beside a running server or without one. Every listing takes \`--json\`. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

| command | what it does |
|---|---|
${rows.join('\n')}
`
}

function* leaves(command: Command, before: string[]): Generator<[string, Command]> {
  const names = [...before, command.name()]
  if (command.commands.length === 0) {
    const given = command.registeredArguments.map((argument) => argument.name().toUpperCase())
    yield [[...names, ...given].join(' '), command]
  }
  for (const child of command.commands) yield* leaves(child, names)
}

function options({ options: all }: Command): string {
  const described = all.map(({ flags, description }) => `\`${flags}\` ${cell(description)}`)
  return described.length === 0 ? '' : `. ${described.join('; ')}`
}

/** The protocol's page with the table of errors in its place. */
function withErrors(path: string): string {
  const rows = Object.entries(answers).map(
    ([code, { status, description }]) => `| \`${code}\` | ${status} | ${cell(description)} |`,
  )
  return withPart(
    path,
    'errors',
    `| code | status | what to do |\n|---|---|---|\n${rows.join('\n')}`,
  )
}

/** The operators' page with a table of messages for each command in its place. */
function withMessages(path: string): string {
  const all = Object.values(messages)
  const tables = [...new Set(all.map(({ command }) => command))].map((command) => {
    const rows = all
      .filter((message) => message.command === command)
      .map(({ exit, text, fix }) => `| ${cell(text)} | ${exit} | ${cell(fix)} |`)
    const title = command === 'start' ? 'Every command on the data' : `\`${command}\``
    return `### ${title}\n\n| it says | exit | what to do |\n|---|---|---|\n${rows.join('\n')}`
  })
  return withPart(path, 'messages', tables.join('\n\n'))
}

/** A page with what stands between `<!-- name -->` and `<!-- /name -->` written anew. */
function withPart(path: string, name: string, part: string): string {
  const text = readFileSync(join(root, path), 'utf8')
  const between = new RegExp(`(<!-- ${name} -->\\n)[^]*?(\\n<!-- /${name} -->)`)
  return text.replace(between, (_all, begin: string, end: string) => `${begin}\n${part}\n${end}`)
}
