import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Test } from 'tap'

/** Watches a broker's database. Returns a function that says whether anything was committed since its last call. */
export function watchCommits(t: Test, dataDir: string): () => boolean {
  const database = new Database(join(dataDir, 'broker.db'), { readonly: true })
  t.teardown(() => database.close())
  const readVersion = () => database.pragma('data_version', { simple: true })
  let last = readVersion()
  return () => {
    const before = last
    last = readVersion()
    return last !== before
  }
}
