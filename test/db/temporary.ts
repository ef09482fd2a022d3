import { readMigrationFiles } from 'drizzle-orm/migrator'
import type { Test } from 'tap'
import { openStore } from '../../db/open.ts'
import type { Store } from '../../db/store.ts'
import { temporaryFolder } from '../temporary.ts'

/** The migrations of SQLite, from this checkout. */
export const migrations = readMigrationFiles({
  migrationsFolder: `${import.meta.dirname}/../../db/migrations/sqlite`,
})

/** Opens the store of a directory. */
export const openAt = (directory: string): Promise<Store> =>
  openStore({ directory, migrations, nativeBinding: undefined })

/** A store in an empty directory; both go with the test. */
export async function openTemporary(t: Test): Promise<{ store: Store; directory: string }> {
  const directory = temporaryFolder(t)
  const store = await openAt(directory)
  t.teardown(() => store.close().catch(() => undefined))
  return { store, directory }
}
