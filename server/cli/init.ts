import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseEnv } from 'node:util'
import { Command } from 'commander'
import { build } from '../assets.ts'
import { loadConfig, readEnvironment } from '../config/config.ts'
import type { ConfigError } from '../config/config.ts'
import { envFile } from '../config/settings.ts'
import type { SettingName } from '../config/settings.ts'
import { ask, askHidden } from './ask.ts'
import { UsageError, print } from './output.ts'
import { serve } from './serve.ts'

interface Flags {
  clientId?: string
  clientSecretStdin?: boolean
  publicUrl?: string
  dataDir?: string
  file: string
  serve?: boolean
}

type Values = Partial<Record<SettingName, string>>

/** `init`: what a first start needs, asked for or given, written to a configuration file. */
export function initCommand(): Command {
  return new Command('init')
    .description('write a configuration file; asks for what no option gives')
    .option('--client-id <id>', 'of your OAuth client at Ellipsis Drive')
    .option('--client-secret-stdin', 'read its secret from standard input')
    .option('--public-url <url>', 'where browsers and apps find the broker')
    .option('--data-dir <directory>', 'where the data goes')
    .option('--file <file>', 'the configuration file; must not be there yet', '.env')
    .option('--serve', 'start the broker then')
    .action(async (flags: Flags) => {
      const interactive = process.stdin.isTTY && !flags.clientSecretStdin
      const file = resolve(flags.file)
      if (existsSync(file)) throw notWritten(file, 'is there already')
      const values = complete(await (interactive ? askFor(flags) : given(flags)), flags)
      const { callbackUrl } = loadConfig(values, { serve: true })
      write(file, values)
      print(`Wrote ${file}, which only you can read.

Register this callback URL with your client at Ellipsis Drive
(Account settings → Developer settings), exactly as it is:

  ${callbackUrl}
`)
      if (flags.serve ?? (interactive && (await confirm('Start the broker now?')))) {
        return serve({ ...values, ...readEnvironment() })
      }
      print(`Then start it: ${startLine(flags.file)}`)
    })
}

/** With what follows: a public URL on this machine itself names the port to listen on. */
function complete(values: Values, { dataDir }: Flags): Values {
  const { protocol, port } = new URL(loadConfig(values).publicUrl)
  return {
    ...values,
    ...(protocol === 'http:' && port !== '' && { BROKER_PORT: port }),
    ...(dataDir !== undefined && { BROKER_DATA_DIR: resolve(dataDir) }),
  }
}

/** What options and standard input say. @throws UsageError if something is missing */
async function given({ clientId, clientSecretStdin, publicUrl }: Flags): Promise<Values> {
  if (clientId === undefined || !clientSecretStdin) {
    throw new UsageError(
      'There is no terminal to ask on: use --client-id ID and --client-secret-stdin.',
    )
  }
  const secret = (await text(process.stdin)).trim()
  return {
    ELLIPSIS_CLIENT_ID: clientId,
    ELLIPSIS_CLIENT_SECRET: secret,
    ...(publicUrl !== undefined && { BROKER_PUBLIC_URL: publicUrl }),
  }
}

async function askFor({ clientId, publicUrl }: Flags): Promise<Values> {
  process.stderr.write(
    'Ellipsis Drive → Account settings → Developer settings: register an OAuth client there.\n\n',
  )
  const url =
    publicUrl ??
    (await askUntilRight('BROKER_PUBLIC_URL', () =>
      ask('Public URL of this broker', 'http://127.0.0.1:3000'),
    ))
  const place = loadConfig({ BROKER_PUBLIC_URL: url })
  process.stderr.write(`Its callback URL is ${place.callbackUrl}\n`)
  return {
    BROKER_PUBLIC_URL: place.publicUrl,
    ELLIPSIS_CLIENT_ID:
      clientId ?? (await askUntilRight('ELLIPSIS_CLIENT_ID', () => ask('Client id'))),
    ELLIPSIS_CLIENT_SECRET: await askUntilRight('ELLIPSIS_CLIENT_SECRET', () =>
      askHidden('Client secret (not shown): '),
    ),
  }
}

/** Asks again after an answer that the setting can't have, and says why. */
async function askUntilRight(name: SettingName, question: () => Promise<string>): Promise<string> {
  for (;;) {
    const answer = (await question()).trim()
    const wrong = wrongWith(name, answer)
    if (wrong === '') return answer
    process.stderr.write(`That ${wrong}\n`)
  }
}

/** What is wrong with it, as the rest of a sentence; empty: nothing. */
function wrongWith(name: SettingName, answer: string): string {
  if (answer === '') return 'is empty, and it is needed.'
  if (!canBeHeld(answer)) return CANT_BE_HELD
  try {
    loadConfig({ [name]: answer })
    return ''
  } catch (error) {
    return (error as ConfigError).problems.map(({ wrong }) => wrong).join(' ')
  }
}

const confirm = async (question: string): Promise<boolean> =>
  /^y/i.test(await ask(`${question} (y/n)`, 'y'))

/** @throws UsageError if the file is there, can't be written, or can't hold a value */
function write(file: string, values: Values): void {
  const lost = Object.entries(values).find(([, value]) => !canBeHeld(value))
  if (lost) throw new UsageError(`${lost[0]} ${CANT_BE_HELD}`)
  try {
    writeFileSync(file, envFile(values, INTRODUCTION), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw notWritten(file, `can't be written (${(error as NodeJS.ErrnoException).code})`)
  }
}

const notWritten = (file: string, why: string) =>
  new UsageError(`${file} ${why}. Remove it, or name another with --file.`)

const canBeHeld = (value: string): boolean =>
  parseEnv(envFile({ ELLIPSIS_CLIENT_ID: value }, '')).ELLIPSIS_CLIENT_ID === value

const CANT_BE_HELD = "has characters that a configuration file can't hold."

const startLine = (file: string): string =>
  file === '.env' ? `${build.command} serve` : `set -a; . ${file}; set +a; ${build.command} serve`

const INTRODUCTION = `# Settings of Ellipsis Broker.
# What is set in the environment wins over this file. A line with a # shows a default, or a setting that has none.`
