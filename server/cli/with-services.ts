import { createLog } from '../log.ts'
import { startServices } from '../services.ts'
import type { Services } from '../services.ts'
import { hasStore } from '../../db/data-directory/open.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { loadDataConfig } from './data-config.ts'
import { printNotice } from './terminal.ts'
import { explainDataError } from '../data/start-error.ts'

/** The actor that events record for commands. */
export const ACTOR = 'cli'

/**
 * Runs a command's work on the data directory, beside any running brokers, then closes it.
 * @param options.upstream the work calls Ellipsis Drive, so client id and secret are required
 * @param options.existing fail if there is no database, instead of creating one
 * @throws StartError, CommandError `data.missing`, and what `work` throws
 */
export async function withServices<T>(
  work: (services: Services) => Promise<T>,
  { upstream = false, existing = false } = {},
): Promise<T> {
  const config = loadDataConfig({ serve: upstream })
  const { dataDir: directory } = config
  if (existing && !hasStore(directory)) throw new CommandError('data.missing', { directory })
  const log = createLog({ logLevel: 'error' }, process.stderr)
  const services = await startServices(config, log, {
    command: 'a command',
    onUpgrade: ({ migrations, copy }) =>
      printNotice(
        formatMessage('start.upgraded', { migrations: migrations.join(', '), copy, directory }),
      ),
    ...(upstream && { claim: 'same' }),
  })
  return work(services)
    .catch(explainDataError(config.dataDir))
    .finally(() => services.stop())
}
