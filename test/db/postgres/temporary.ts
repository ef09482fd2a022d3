import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { openPostgresStore } from '../../../db/postgres/open.ts'
import type { PostgresMigration } from '../../../db/postgres/open.ts'
import type { Store } from '../../../db/store.ts'
import { createDatabase, query, sharedCluster } from '../../postgres.ts'

const folder = join(import.meta.dirname, '../../../db/migrations/postgres')
/** The migrations of PostgreSQL, from this checkout. */
export const migrations: PostgresMigration[] = ['0000_initial'].map((name) => ({
  name,
  sql: readFileSync(join(folder, `${name}.sql`), 'utf8'),
}))

/** Opens the store of a database. */
export const openAt = (url: string): Promise<Store> =>
  openPostgresStore({ Client: createClientClass([url]), migrations })

let template: Promise<string> | undefined

/** Migrations run once for the process. */
async function migrate(): Promise<string> {
  const { urlOf } = await sharedCluster()
  await query(urlOf('postgres'), 'create database migrated template template0')
  const store = await openAt(urlOf('migrated'))
  await store.close()
  return 'migrated'
}

/** A store in a database of its own, which is dropped after the test. */
export async function openTemporary(
  t: Pick<Test, 'teardown'>,
): Promise<{ store: Store; url: string }> {
  template ??= migrate()
  const url = await createDatabase(t, await template)
  const store = await openAt(url)
  t.teardown(() => store.close().catch(() => undefined))
  return { store, url }
}
