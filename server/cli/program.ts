import { Command, CommanderError } from 'commander'
import { build } from '../assets.ts'
import { ConfigError } from '../config/config.ts'
import { BrokerError } from '../errors.ts'
import { CommandError } from '../operate/messages.ts'
import { StartError } from '../data/start-error.ts'
import { adminCommand } from './admin.ts'
import { appCommand } from './app.ts'
import { backupCommand, restoreCommand } from './backup.ts'
import { connectionCommand } from './connection.ts'
import { demoCommand } from './demo.ts'
import { formatExamples, examples } from './examples.ts'
import { initCommand } from './init.ts'
import { doctorCommand } from './doctor.ts'
import { eventsCommand } from './events.ts'
import { healthCommand } from './health.ts'
import { keyCommand } from './key.ts'
import { licensesCommand } from './licenses.ts'
import { probeCommand } from './probe.ts'
import { useEnvFile } from './settings.ts'
import { UsageError, printable } from './terminal.ts'
import { secretCommand } from './secret.ts'
import { serveCommand } from './serve.ts'
import { standInCommand } from './stand-in.ts'
import { storeCommand } from './store.ts'
import { webhookCommand } from './webhook.ts'
import { WorkerStartError } from './workers.ts'

/** The command line: all commands, one file each. */
export function program(): Command {
  const main = new Command('ellipsis-broker')
    .description('A self-hosted OAuth token broker for Ellipsis Drive')
    .version(describeBuild(), '-V, --version')
    .option('--env-file <file>', 'read the settings from this file, and from no other')
    .addHelpText(
      'after',
      '\nSettings come from the environment and from --env-file, or .env, or the file of the installed service. `init` writes a .env that explains them.',
    )
    .hook('preAction', () => useEnvFile(main.opts<{ envFile?: string }>().envFile))
  const commands = [
    serveCommand(),
    initCommand(),
    demoCommand(),
    standInCommand(),
    appCommand(),
    connectionCommand(),
    adminCommand(),
    keyCommand(),
    secretCommand(),
    webhookCommand(),
    eventsCommand(),
    backupCommand(),
    restoreCommand(),
    storeCommand(),
    doctorCommand(),
    healthCommand(),
    probeCommand(),
    licensesCommand(),
  ]
  for (const command of commands) main.addCommand(command)
  for (const [name, command] of walk(main)) {
    command.exitOverride().showHelpAfterError('(run with --help for usage)')
    const lines = examples[name]
    if (lines) command.addHelpText('after', formatExamples(lines))
  }
  return main
}

/** Runs a command line. Returns the exit code: 0 done, 1 failed, 2 wrong usage or configuration. */
export async function run(argv: string[]): Promise<number> {
  try {
    await program().parseAsync(cleanArguments(argv), { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof WorkerStartError && error.exitCode !== null) return error.exitCode
    process.stderr.write(`${errorText(error)}\n`)
    if (error instanceof CommandError || error instanceof StartError) return error.exitCode
    return isUsage(error) ? 2 : 1
  }
}

/**
 * Arguments without what the file of a script adds to them: a carriage return at the end of a line, or a
 * byte-order mark.
 * @throws UsageError for an argument that the program can't have been meant to get
 */
function cleanArguments(argv: string[]): string[] {
  const args = argv.filter((arg) => arg !== '\r').map((arg) => arg.replace(/^\uFEFF|\r$/g, ''))
  for (const arg of args) {
    const problem = /\p{Cc}/u.test(arg)
      ? 'has a control character'
      : arg.includes('\uFFFD') && 'is not in UTF-8'
    if (problem) throw new UsageError(`The argument "${printable(arg)}" ${problem}.`)
  }
  return args
}

/** Every command with its full name, such as `app add`. */
function* walk(command: Command, name = ''): Generator<[string, Command]> {
  yield [name, command]
  for (const child of command.commands) yield* walk(child, `${name} ${child.name()}`.trim())
}

const isUsage = (error: unknown): boolean =>
  error instanceof ConfigError ||
  error instanceof UsageError ||
  (error instanceof BrokerError && error.code === 'invalid_request')

const isExpected = (error: unknown): boolean =>
  isUsage(error) ||
  error instanceof StartError ||
  error instanceof WorkerStartError ||
  error instanceof BrokerError ||
  error instanceof CommandError

/** The message of an expected error; the stack of any other. */
function errorText(error: unknown): string {
  const { message, cause, stack } = error as Error
  if (!isExpected(error)) return String(stack)
  return cause instanceof Error && !message.includes(cause.message)
    ? `${message}\n(${cause.message})`
    : message
}

function describeBuild(): string {
  const { version, commit } = build
  /* c8 ignore next -- only the bundle knows its commit; the binary's test runs that */
  return `${version}${commit === null ? '' : ` (${commit})`}, Node.js ${process.version}`
}
