import { accessSync, constants, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { hasStore } from '../../db/data-directory/restore-complete.ts'
import { sqliteBinding } from '../assets.ts'
import { loadConfig, readSettings } from '../config/config.ts'
import type { Config, Settings } from '../config/config.ts'
import { listInstalledStores } from '../config/find-settings.ts'
import { explainDataError } from '../data/start-error.ts'
import { CommandError } from '../operate/messages.ts'
import { printNotice } from './terminal.ts'

/** What a command works with. */
export interface CommandSettings {
  config: Config
  settings: Settings
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
  return { settings, config: loadSettingsConfig(settings, options) }
}

const loadSettingsConfig = ({ variables, files }: Settings, options: { serve?: boolean }): Config =>
  loadConfig(variables, { ...options, file: files.at(-1) })

/**
 * The settings of a command that works on a store.
 * @param options.serve require client id and secret
 * @param options.create without a store, create one if BROKER_DATA_DIR names its directory
 * @throws CommandError `data.missing` without a store; StartError; ConfigError
 */
export function findStore(options: { serve?: boolean; create?: boolean } = {}): CommandSettings {
  const found = loadSettings(options)
  requireStore(found, options.create)
  return found
}

/** @throws CommandError, StartError */
export function requireStore({ config, settings }: CommandSettings, create = false): void {
  const { dataDir: directory } = config
  if (isAbsent(directory) && !(create && (settings.variables.BROKER_DATA_DIR ?? '') !== '')) {
    throw new CommandError('data.missing', { directory, settings: describe(settings) })
  }
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
export function noteStore({ config, settings }: CommandSettings): void {
  const { dataDir } = config
  const isDefault =
    dataDir === resolve('data') && settings.files.every((file) => file === resolve('.env'))
  const installed = listInstalledStores()
  const isOther = installed.length > 0 && installed.every((store) => store.dataDir !== dataDir)
  if (!isDefault || isOther) {
    printNotice(`Store: ${dataDir} (settings: ${['environment', ...settings.files].join(', ')})`)
  }
  if (!isOther) return
  const others = installed.map((store) => `${store.dataDir} (--env-file ${store.file})`)
  printNotice(`The installed service has another store: ${others.join(', ')}`)
}

/**
 * The configuration with the public URL that `serve` uses for this store, if the settings have none. So commands
 * that know only the data directory, such as those beside a demo, print and use the right one.
 * @throws StartError
 */
export async function withStoredUrl({ config, settings }: CommandSettings): Promise<Config> {
  const { dataDir } = config
  const file = join(dataDir, 'broker.db')
  if ((settings.variables.BROKER_PUBLIC_URL ?? '') !== '' || !existsSync(file)) return config
  const { readMeta } = await import('../../db/data-directory/copy.ts')
  const { retryBusy } = await import('../../db/sqlite/engine.ts')
  const meta = await retryBusy(() => readMeta(file, sqliteBinding(config))).catch(
    explainDataError(dataDir),
  )
  const [url] = JSON.parse(meta.public_urls ?? '[]') as string[]
  if (url === undefined) return config
  return loadSettingsConfig(
    { ...settings, variables: { ...settings.variables, BROKER_PUBLIC_URL: url } },
    {},
  )
}
