import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { build } from '../assets.ts'
import { loadConfig } from '../config/config.ts'
import type { ConfigError } from '../config/config.ts'
import { shellWord } from '../config/settings-file.ts'
import { formatEnvFile, isPortable } from '../config/settings.ts'
import type { SettingName, SettingValues } from '../config/settings.ts'
import { useEnvFile } from './settings.ts'
import { UsageError, ask, askHidden, print, readInput } from './terminal.ts'
import { serve } from './serve.ts'

interface Flags {
  clientId?: string
  clientSecretStdin?: boolean
  clientSecretFile?: string
  publicUrl?: string
  dataDir?: string
  file: string
  serve?: boolean
}

/** `init`: writes a configuration file from options and answers. */
export function initCommand(): Command {
  return new Command('init')
    .description('write a configuration file; prompts for missing values')
    .option('--client-id <id>', 'id of your OAuth client at Ellipsis Drive')
    .option('--client-secret-stdin', 'read the client secret from standard input')
    .option('--client-secret-file <file>', 'file with the client secret; it is named, not copied')
    .option('--public-url <url>', 'URL of the broker for browsers and apps')
    .option('--data-dir <directory>', 'directory for the data')
    .option('--file <file>', 'configuration file to create', '.env')
    .option('--serve', 'start the broker afterwards')
    .action(async (flags: Flags) => {
      const interactive = process.stdin.isTTY && !flags.clientSecretStdin
      const file = resolve(flags.file)
      if (existsSync(file)) throw notWritten(file, 'already exists')
      const given = await (interactive ? askForValues(flags) : readValues(flags))
      checkPortable(given)
      const values = complete(given, flags)
      const { callbackUrl, port } = loadConfig(values, { serve: true })
      write(file, values)
      print(`Wrote ${file}. Only you can read it.

Register this exact callback URL with your OAuth client at Ellipsis Drive
(Account settings → Developer settings):

  ${callbackUrl}
`)
      if (flags.serve) {
        useEnvFile(file)
        // Workers would run this command again.
        return serve({ workers: null })
      }
      print(nextSteps(file, port))
    })
}

/** Adds what follows from the values: a local public URL also sets the port. */
function complete(values: SettingValues, { dataDir }: Flags): SettingValues {
  const { protocol, port } = new URL(loadConfig(values).publicUrl)
  return {
    ...values,
    ...(protocol === 'http:' && port !== '' && { BROKER_PORT: port }),
    ...(dataDir !== undefined && { BROKER_DATA_DIR: resolve(dataDir) }),
  }
}

/** Values from options and standard input. @throws UsageError if one is missing */
async function readValues(flags: Flags): Promise<SettingValues> {
  const { clientId, clientSecretStdin, clientSecretFile, publicUrl } = flags
  if (clientId === undefined || !(clientSecretStdin || clientSecretFile)) {
    throw new UsageError(
      'No terminal to prompt on: use --client-id ID and --client-secret-stdin (or --client-secret-file FILE).',
    )
  }
  return {
    ELLIPSIS_CLIENT_ID: clientId,
    ...(await readSecret(flags, async () => (await readInput()).trim())),
    ...(publicUrl !== undefined && { BROKER_PUBLIC_URL: publicUrl }),
  }
}

/** The client secret, or the file that contains it. */
async function readSecret(
  { clientSecretFile: file }: Flags,
  read: () => Promise<string>,
): Promise<SettingValues> {
  if (file !== undefined) return { ELLIPSIS_CLIENT_SECRET_FILE: resolve(file) }
  return { ELLIPSIS_CLIENT_SECRET: await read() }
}

async function askForValues(flags: Flags): Promise<SettingValues> {
  const { clientId, publicUrl } = flags
  process.stderr.write(
    'Register an OAuth client first: Ellipsis Drive → Account settings → Developer settings.\n\n',
  )
  const url =
    publicUrl ??
    (await askUntilValid('BROKER_PUBLIC_URL', () =>
      ask('Public URL of this broker', 'http://127.0.0.1:3000'),
    ))
  const { publicUrl: canonicalUrl, callbackUrl } = loadConfig({ BROKER_PUBLIC_URL: url })
  process.stderr.write(`Its callback URL is ${callbackUrl}\n`)
  return {
    BROKER_PUBLIC_URL: canonicalUrl,
    ELLIPSIS_CLIENT_ID:
      clientId ?? (await askUntilValid('ELLIPSIS_CLIENT_ID', () => ask('Client id'))),
    ...(await readSecret(flags, () =>
      askUntilValid('ELLIPSIS_CLIENT_SECRET', () => askHidden('Client secret (not shown): ')),
    )),
  }
}

/** Repeats a question until the answer is a valid value. */
async function askUntilValid(name: SettingName, question: () => Promise<string>): Promise<string> {
  for (;;) {
    const answer = (await question()).trim()
    const problem = findProblem(name, answer)
    if (problem === null) return answer
    process.stderr.write(`That ${problem}\n`)
  }
}

/** What is wrong with an answer: the end of a sentence that begins with "That". */
function findProblem(name: SettingName, answer: string): string | null {
  if (answer === '') return 'is empty. A value is required.'
  if (!isPortable(answer)) return explainUnportable(name)
  try {
    loadConfig({ [name]: answer })
    return null
  } catch (error) {
    return (error as ConfigError).problems.map(({ problem }) => problem).join(' ')
  }
}

/** @throws UsageError if the file can't hold a value */
function checkPortable(values: SettingValues): void {
  for (const [name, value] of Object.entries(values)) {
    if (!isPortable(value)) throw new UsageError(`${name} ${explainUnportable(name)}`)
  }
}

/** The end of a sentence that begins with the name, and what to do. */
const explainUnportable = (name: string): string =>
  "has characters that a configuration file can't hold so that sh, systemd and docker all read them the same." +
  (name === 'ELLIPSIS_CLIENT_SECRET'
    ? '\nWrite the secret to a file that only the broker can read, and use --client-secret-file FILE: it sets ELLIPSIS_CLIENT_SECRET_FILE.'
    : '\nUse letters, digits and the characters -_.,:/@+=%^!?*{}[]~ only.')

/** @throws UsageError if the file exists, can't be written, or can't hold a value */
function write(file: string, values: SettingValues): void {
  checkPortable(values)
  try {
    writeFileSync(file, formatEnvFile(values, INTRODUCTION), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw notWritten(file, `can't be written (${(error as NodeJS.ErrnoException).code})`)
  }
}

const notWritten = (file: string, reason: string) =>
  new UsageError(`${file} ${reason}. Remove it, or choose another file with --file.`)

/** The file that deploy/ellipsis-broker.service reads. */
const UNIT_FILE = '/etc/ellipsis-broker.env'

/** How to start the broker with the file. `init` starts none itself: a service has another user and store. */
function nextSteps(file: string, port: number): string {
  if (file === resolve('.env')) return `Start the broker with: ${build.command} serve`
  const path = shellWord(file)
  const edit = file === UNIT_FILE ? '' : ` with EnvironmentFile=${file}`
  return `Next, start the broker as one of these:

  service    install deploy/ellipsis-broker.service${edit}, then: systemctl enable --now ellipsis-broker
  container  podman run --env-file ${path} --volume ellipsis-broker:/data --publish ${port}:${port} --stop-timeout 40 ellipsis-broker
  program    ${build.command} --env-file ${path} serve

Run the program as an unprivileged user, to whom you give the file. Its data is in ./data, unless the
file sets BROKER_DATA_DIR.

The first start prints the URL for creating the first admin (service: journalctl -u ellipsis-broker).`
}

const INTRODUCTION = `# Settings of Ellipsis Broker.
# The environment overrides this file. Lines that begin with # show defaults and settings without a value.`
