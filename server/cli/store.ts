import { Command } from 'commander'
import { databaseUrl } from '../config/database-url.ts'
import type { DatabaseUrl } from '../config/database-url.ts'
import { InvalidValue } from '../config/parse.ts'
import { runtime } from '../runtime.ts'
import { loadStoreSettings, noteStore, requireStore } from './settings.ts'
import { UsageError, print, printNotice } from './terminal.ts'

interface Databases {
  to?: DatabaseUrl
  from?: DatabaseUrl
}

/** `store`: moves the store between a data directory and a database. */
export function storeCommand(): Command {
  const store = new Command('store').description('move the store to PostgreSQL, or back')
  store
    .command('copy')
    .description(
      'copy the store between the data directory and PostgreSQL, check the copy, and let only the copy be served; stop all brokers first',
    )
    .option('--to <url>', 'copy the data directory into this database', parseUrl)
    .option('--from <url>', 'copy this database into the data directory', parseUrl)
    .action(async ({ to, from }: Databases) => {
      const url = to ?? from
      if (!url || (to && from)) throw new UsageError('Say either --to URL or --from URL.')
      const settings = loadStoreSettings()
      // The data directory, whichever store is served.
      const found = { ...settings, config: { ...settings.config, database: null } }
      if (to) requireStore(found)
      noteStore(found)
      const { config } = found
      const { copyStore } = await import('../operate/copy-store.ts')
      const { dataDirectory, database } = await import('../operate/copy-sides.ts')
      const { loadKeys } = await import('../operate/restore.ts')
      const { createVault } = await import('../crypto/vault.ts')
      const { secretKeyFile } = await import('../data/secret-key.ts')
      const sides = [dataDirectory(config), database(url)] as const
      const [one, other] = to ? sides : [sides[1], sides[0]]
      const text = await one.read((source) =>
        other.write((target) =>
          copyStore({
            source,
            target,
            vault: createVault(() => loadKeys(config), runtime.random),
            keySource: config.secrets ? 'BROKER_SECRETS' : secretKeyFile(config.dataDir),
            clock: runtime.clock,
            report: printNotice,
          }),
        ),
      )
      print(text)
    })
  store
    .command('take-back')
    .description('let a store be served again that was copied elsewhere, as it was then')
    .option('--database <url>', 'of this database; default: the store of the settings', parseUrl)
    .action(async (options: { database?: DatabaseUrl }) => {
      const found = loadStoreSettings()
      const url = options.database ?? found.config.database
      if (!url) requireStore(found)
      noteStore(found)
      const { takeBack } = await import('../operate/copy-store.ts')
      const { dataDirectory, database } = await import('../operate/copy-sides.ts')
      print(await (url ? database(url) : dataDirectory(found.config)).read(takeBack))
    })
  return store
}

/** @throws UsageError */
function parseUrl(text: string): DatabaseUrl {
  try {
    return databaseUrl(text)
  } catch (error) {
    if (error instanceof InvalidValue) throw new UsageError(`The URL ${error.message}`)
    throw error
  }
}
