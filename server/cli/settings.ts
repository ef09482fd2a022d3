import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { hasStore } from '../../db/data-directory/restore-complete.ts'
import { loadConfig, readSettings, withPublicUrl } from '../config/config.ts'
import type { Config, Settings } from '../config/config.ts'
import { listInstalledStores } from '../config/find-settings.ts'
import { dropToOwner } from '../data/drop-privileges.ts'
import { explainDataError } from '../data/start-error.ts'
import { CommandError } from '../operate/messages.ts'
import { printNotice } from './terminal.ts'

/** What a command works with. */
export interface CommandSettings {
  config: Config
  settings: Settings
}

/** What a command on a store works with. `config.dataDir` has no links that the store's owner could redirect. */
export interface StoreSettings extends CommandSettings {
  /** The data directory, as the settings name it. */
  namedDir: string
  installed: ReturnType<typeof listInstalledStores>
}

/** The settings file that the command line names. A process runs one command. */
let envFile: string | undefined

/** Sets the settings file of the command that runs next; `undefined`: none is named. */
export const useEnvFile = (file: string | undefined): void => void (envFile = file)

/**
 * The settings of this command line.
 * @param options.serve require client id and secret
 * @throws ConfigError
 */
export function loadSettings(options: { serve?: boolean } = {}): CommandSettings {
  const settings = readSettings(envFile)
  const { variables, files } = settings
  return { settings, config: loadConfig(variables, { ...options, file: files.at(-1) }) }
}

/**
 * The settings of a command that works on the data directory. Files with settings and secrets are read first;
 * then root takes the rights of the directory's owner, for the rest of the process.
 * @param options.serve require client id and secret
 * @throws ConfigError, StartError
 */
export function loadStoreSettings(options: { serve?: boolean } = {}): StoreSettings {
  const { config, settings } = loadSettings(options)
  const { dataDir: namedDir } = config
  const installed = listInstalledStores()
  return { settings, namedDir, installed, config: { ...config, dataDir: dropToOwner(namedDir) } }
}

/**
 * The settings of a command that works on a store.
 * @param options.serve require client id and secret
 * @param options.create without a store, create one if BROKER_DATA_DIR names its directory
 * @throws CommandError `data.missing` without a store; StartError; ConfigError
 */
export function findStore(options: { serve?: boolean; create?: boolean } = {}): StoreSettings {
  const found = loadStoreSettings(options)
  requireStore(found, options.create)
  return found
}

/** @throws CommandError, StartError */
export function requireStore(found: StoreSettings, create = false): void {
  const { config, settings } = found
  // Looking into the database takes a connection: `openData` does so.
  if (config.database) return
  const mayCreate = create && (settings.variables.BROKER_DATA_DIR ?? '') !== ''
  if (isAbsent(config.dataDir) && !mayCreate) throw explainMissing(found)
}

/** Why there is no store, and where one may be. */
function explainMissing({ config, namedDir, settings, installed }: StoreSettings): CommandError {
  const values = { directory: config.dataDir, settings: describe(settings) }
  if (installed.length === 0) return new CommandError('data.missing', values)
  if (installed.some(({ dataDir }) => dataDir === namedDir)) {
    return new CommandError('data.not-started', values)
  }
  const others = installed.map((store) => `${store.dataDir} (--env-file ${store.file})`)
  return new CommandError('data.elsewhere', { ...values, others: others.join(', ') })
}

/** @throws StartError if it is unknown, because this user can't look into the directory */
function isAbsent(directory: string): boolean {
  if (hasStore(directory)) return false
  try {
    accessSync(directory, constants.X_OK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') explainDataError(directory)(error)
  }
  return true
}

/** Where settings were found, and where not. */
function describe({ files, missing }: Settings): string {
  const found = ['the environment', ...files].join(', ')
  return missing.length === 0 ? found : `${found} (there is no ${missing.join(', no ')})`
}

/** Says on standard error which store a command works on, unless that is the default of this directory. */
export function noteStore({ config, namedDir, settings, installed }: StoreSettings): void {
  const isDefault =
    namedDir === resolve('data') && settings.files.every((file) => file === resolve('.env'))
  const isOther = installed.length > 0 && installed.every(({ dataDir }) => dataDir !== namedDir)
  const place = config.database?.address ?? namedDir
  if (!isDefault || isOther || config.database) {
    printNotice(`Store: ${place} (settings: ${['environment', ...settings.files].join(', ')})`)
  }
  if (!isOther || config.database) return
  const others = installed.map((store) => `${store.dataDir} (--env-file ${store.file})`)
  printNotice(`The installed service has another store: ${others.join(', ')}`)
}

/**
 * The configuration with the public URL that `serve` uses for this store, if the settings have none. So commands
 * that know only the data directory, such as those beside a demo, print and use the right one.
 * @throws StartError
 */
export async function withStoredUrl({ config, settings }: CommandSettings): Promise<Config> {
  if ((settings.variables.BROKER_PUBLIC_URL ?? '') !== '') return config
  const { readStoredMeta } = await import('../data/stored-meta.ts')
  const meta = await readStoredMeta(config)
  const [url] = JSON.parse(meta.public_urls ?? '[]') as string[]
  if (url === undefined) return config
  return withPublicUrl(config, url)
}
