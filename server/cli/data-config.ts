import { loadConfig, readEnvironment } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { dropToOwner } from '../data/drop-privileges.ts'

/**
 * The settings of a command that works on the data directory. Files with settings and secrets are read first;
 * then root takes the rights of the directory's owner, for the rest of the process.
 * @param options as for `loadConfig`
 * @throws ConfigError, StartError
 */
export function loadDataConfig(
  options: { serve?: boolean } = {},
  environment = readEnvironment(),
): Config {
  const config = loadConfig(environment, options)
  return { ...config, dataDir: dropToOwner(config.dataDir) }
}
