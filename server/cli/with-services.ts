import { loadConfig, readEnvironment } from '../config/config.ts'
import { createLog } from '../log.ts'
import { startServices } from '../services.ts'
import type { Services } from '../services.ts'
import { hasStore } from '../../db/data-directory/open.ts'
import { CommandError } from '../operate/messages.ts'
import { explainDataError } from '../data/start-error.ts'

/**
 * Does a command's work on the data directory, beside whatever server runs on it, and closes it.
 * @throws StartError, CommandError `data.missing`, and what the work throws
 * @param upstream the work calls Ellipsis Drive, so client id and secret must be set
 * @param existing it is about what is stored: none is made where there is none, lest it seem done
 */
export async function withServices<T>(
  work: (services: Services) => Promise<T>,
  { upstream = false, existing = false } = {},
): Promise<T> {
  const config = loadConfig(readEnvironment(), { serve: upstream })
  const { dataDir: directory } = config
  if (existing && !hasStore(directory)) throw new CommandError('data.missing', { directory })
  const log = createLog({ logLevel: 'error' }, process.stderr)
  const services = await startServices(config, log, {
    command: 'a command',
    ...(upstream && { claim: 'same' }),
  })
  return work(services)
    .catch(explainDataError(config.dataDir))
    .finally(() => services.stop())
}

/** Whom the events name for what is done here. */
export const ACTOR = 'cli'
