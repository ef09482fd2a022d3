import { createLog } from '../log.ts'
import type { Services } from '../services.ts'
import { formatMessage } from '../operate/messages.ts'
import { printNotice } from './terminal.ts'
import { findStore, noteStore, withStoredUrl } from './settings.ts'

/** The actor that events record for commands. */
export const ACTOR = 'cli'

/**
 * Runs a command's work on the data directory, beside any running brokers, then closes it.
 * @param options.upstream the work calls Ellipsis Drive, so client id and secret are required
 * @param options.create without a store, create one if BROKER_DATA_DIR names its directory
 * @throws StartError, CommandError `data.missing`, and what `work` throws
 */
export async function withServices<T>(
  work: (services: Services) => Promise<T>,
  { upstream = false, create = false } = {},
): Promise<T> {
  const found = findStore({ serve: upstream, create })
  // Loaded here, so that other commands start faster.
  const { startServices } = await import('../services.ts')
  const config = await withStoredUrl(found)
  const { dataDir: directory, database } = config
  const address = database?.address ?? ''
  const log = createLog({ logLevel: 'error' }, process.stderr)
  const services = await startServices(config, log, {
    command: 'a command',
    mustExist: !create,
    onUpgrade: ({ migrations: names, copy }) => {
      const migrations = names.join(', ')
      const text =
        copy === null
          ? formatMessage('start.upgraded-database', { migrations, address })
          : formatMessage('start.upgraded', { migrations, copy, directory })
      printNotice(text)
    },
    ...(upstream && { claim: 'same' }),
  })
  noteStore(found)
  return work(services)
    .catch((error: unknown) => services.explainStoreError(error))
    .finally(() => services.stop())
}
