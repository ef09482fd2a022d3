import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseEnv } from 'node:util'
import { Command } from 'commander'
import { build } from '../assets.ts'
import { loadConfig, readEnvironment } from '../config.ts'
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
      const values = { ...(await (interactive ? askFor(flags) : given(flags))), ...optional(flags) }
      const { callbackUrl } = loadConfig(values, { serve: true })
      const file = resolve(flags.file)
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

const optional = ({ dataDir }: Flags): Values =>
  dataDir === undefined ? {} : { BROKER_DATA_DIR: resolve(dataDir) }

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
    (await ask('Public URL of this broker', 'http://127.0.0.1:3000')).replace(/\/$/, '')
  process.stderr.write(`Its callback URL is ${url}/callback\n`)
  return {
    ELLIPSIS_CLIENT_ID: clientId ?? (await ask('Client id')),
    ELLIPSIS_CLIENT_SECRET: (await askHidden('Client secret (not shown): ')).trim(),
    BROKER_PUBLIC_URL: url,
  }
}

const confirm = async (question: string): Promise<boolean> =>
  /^y/i.test(await ask(`${question} (y/n)`, 'y'))

/** @throws UsageError if the file is there, can't be written, or can't hold a value */
function write(file: string, values: Values): void {
  const content = envFile(values, INTRODUCTION)
  const read = parseEnv(content)
  const lost = Object.entries(values).find(([name, value]) => read[name] !== value)
  if (lost) throw new UsageError(`${lost[0]} has characters that a configuration file can't hold.`)
  try {
    writeFileSync(file, content, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'EEXIST' ? 'is there already' : `can't be written (${code})`
    throw new UsageError(`${file} ${why}. Remove it, or name another with --file.`)
  }
}

const startLine = (file: string): string =>
  file === '.env' ? `${build.command} serve` : `set -a; . ${file}; set +a; ${build.command} serve`

const INTRODUCTION = `# Settings of Ellipsis Broker.
# What is set in the environment wins over this file. A line with a # shows a default, or a setting that has none.`
