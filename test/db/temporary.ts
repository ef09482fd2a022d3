import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import type { Test } from 'tap'
import { openStore } from '../../db/data-directory/open.ts'
import type { Store } from '../../db/store.ts'
import { makeFolder, temporaryFolder } from '../temporary.ts'

/** The migrations of SQLite, from this checkout. */
export const migrations = readMigrationFiles({
  migrationsFolder: `${import.meta.dirname}/../../db/migrations/sqlite`,
})

/** Opens the store of a directory. */
export const openAt = (directory: string): Promise<Store> =>
  openStore({ directory, migrations, nativeBinding: undefined })

/** A store in an empty directory; both are removed after the test. */
export async function openTemporary(
  t: Pick<Test, 'teardown'>,
): Promise<{ store: Store; directory: string }> {
  const directory = await migratedFolder(t)
  const store = await openAt(directory)
  t.teardown(() => store.close().catch(() => undefined))
  return { store, directory }
}

let migrated: Promise<Buffer> | undefined

/**
 * A folder with an empty, migrated database; removed after the test. Migrations run once for the process, as they
 * take a tenth of a broker's start. Tests of a first start use `temporaryFolder`.
 */
export async function migratedFolder(t: Pick<Test, 'teardown'>): Promise<string> {
  migrated ??= migrate()
  const directory = temporaryFolder(t)
  writeFileSync(join(directory, 'broker.db'), await migrated, { mode: 0o600 })
  return directory
}

async function migrate(): Promise<Buffer> {
  const directory = makeFolder()
  try {
    const store = await openAt(directory)
    await store.close()
    return readFileSync(join(directory, 'broker.db'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}
