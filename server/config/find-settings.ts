import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { decodeText } from '../text-encoding.ts'
import { cleanEnvironment, parseEnvText } from './environment.ts'
import { ConfigError, type ReadFile } from './reader.ts'
import { UNREADABLE_FIX, readTrustedText } from './settings-file.ts'
import { type InstalledService, listServices } from './units.ts'

/** The variables of this process and of its settings file. */
export interface Settings {
  variables: NodeJS.ProcessEnv
  /** Absolute paths of the settings files that were read. */
  files: string[]
  /** Absolute paths of the settings files that do not exist. */
  missing: string[]
}

interface Place {
  /** The settings file that the command line names. */
  envFile?: string | undefined
  environment: NodeJS.ProcessEnv
  /** The working directory. */
  directory: string
  /** The root directory of the system. */
  root?: string
}

/**
 * Finds the settings. Variables of the environment override those of files. One place is used, the first of:
 * 1. the file that the command line names;
 * 2. `.env` in the working directory;
 * 3. the environment alone, if it sets BROKER_DATA_DIR or ELLIPSIS_CLIENT_ID: it is that of a service, a
 *    container or a shell that has the settings;
 * 4. the settings file of the installed service, which is found from every directory.
 * @throws ConfigError for a file that can't be read, or if there are several installed services
 */
export function findSettings({ envFile, environment, directory, root = '/' }: Place): Settings {
  const own = cleanEnvironment(environment)
  if (envFile !== undefined) return readNamedFile(resolve(directory, envFile), own, root)
  const file = join(directory, '.env')
  const values = readSettingsFile(file)
  if (values) return { variables: { ...values, ...own }, files: [file], missing: [] }
  const alone = { variables: own, files: [], missing: [file] }
  if (isComplete(own)) return alone
  const services = listServices(root)
  if (services.length > 1) throw ambiguous(services)
  const [service] = services
  return service ? readService(service, own, [file]) : alone
}

/** Variables that a shell without settings does not have. */
const isComplete = (environment: NodeJS.ProcessEnv): boolean =>
  ['BROKER_DATA_DIR', 'ELLIPSIS_CLIENT_ID'].some((name) => (environment[name] ?? '') !== '')

/** If it is the file of an installed service, the settings of its unit count, too. */
function readNamedFile(file: string, own: NodeJS.ProcessEnv, root: string): Settings {
  const service = listServices(root).find(({ ownFile, files }) =>
    [ownFile, ...files].includes(file),
  )
  const values = readSettingsFile(file, service && adviseFor(service))
  if (!values) throw fileError(file, 'does not exist.', 'Name an existing file after --env-file.')
  if (service) return readService(service, own, [])
  return { variables: { ...values, ...own }, files: [file], missing: [] }
}

/** What to do if the settings of a service can't be read. */
function adviseFor({ environment }: InstalledService): string {
  const dataDir = environment.BROKER_DATA_DIR ?? 'the service’s data directory'
  return `It belongs to the installed service: run the command as root. Or, as the service’s user, set BROKER_DATA_DIR to ${dataDir}, without --env-file.`
}

/** The settings of a service, as its processes get them. */
function readService(
  service: InstalledService,
  own: NodeJS.ProcessEnv,
  searched: string[],
): Settings {
  const { directory, ownFile, environment, files } = service
  const fix = adviseFor(service)
  const read = new Map([ownFile, ...files].map((file) => [file, readSettingsFile(file, fix)]))
  const variables = { ...read.get(ownFile), ...environment }
  for (const file of files) Object.assign(variables, read.get(file))
  variables.BROKER_DATA_DIR = resolve(directory, variables.BROKER_DATA_DIR || './data')
  const exists = (file: string) => read.get(file) !== null
  return {
    variables: { ...variables, ...own },
    files: [...read.keys()].filter(exists),
    missing: [...searched, ...files.filter((file) => !exists(file))],
  }
}

/** The data directories of installed services, with the settings file to name, as far as this user can read them. */
export function listInstalledStores(root = '/'): { dataDir: string; file: string | undefined }[] {
  return listServices(root).flatMap((service) => {
    try {
      const { variables, files } = readService(service, {}, [])
      return [{ dataDir: variables.BROKER_DATA_DIR ?? '', file: files.at(-1) }]
    } catch {
      return []
    }
  })
}

function ambiguous(services: InstalledService[]): ConfigError {
  const list = services.map(
    ({ units, ownFile, files }) =>
      `${units.join(', ')}: ${(files.length > 0 ? files : [ownFile]).join(', ')}`,
  )
  const problem = `are ${services.length} on this machine:\n  ${list.join('\n  ')}`
  const fix = 'Name the settings file of one: ellipsis-broker --env-file FILE COMMAND.'
  return new ConfigError([{ name: 'The installed services', problem, fix }], '')
}

/**
 * The variables of a settings file; `null`: there is no such file. Every settings file is read here.
 * @param fix what to do if it can't be read
 * @throws ConfigError if it can't be read, or if another user can write it
 */
export function readSettingsFile(file: string, fix = UNREADABLE_FIX): NodeJS.Dict<string> | null {
  try {
    return parseEnvText(readTrustedText(file, fix))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

const fileError = (name: string, problem: string, fix: string): ConfigError =>
  new ConfigError([{ name, problem, fix }], '')

/** Reads a text file. @throws EncodingError, and as node:fs does */
export const readText: ReadFile = (path) => decodeText(readFileSync(path))
