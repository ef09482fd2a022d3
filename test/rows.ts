import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Test } from 'tap'

/** A second connection on a broker's database, which sees what the broker commits. */
function look(t: Test, dataDir: string): Database.Database {
  const database = new Database(join(dataDir, 'broker.db'), { readonly: true })
  t.teardown(() => database.close())
  return database
}

/** Tells whether anything was committed since it was last asked. */
export function changes(t: Test, dataDir: string): () => boolean {
  const database = look(t, dataDir)
  const version = () => database.pragma('data_version', { simple: true })
  let last = version()
  return () => {
    const before = last
    last = version()
    return last !== before
  }
}
