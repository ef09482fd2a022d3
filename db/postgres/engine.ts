import type Database from 'better-sqlite3'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { Engine } from '../sql/engine.ts'
import type { Pool } from './pool.ts'
import { once, replay, replayClient } from './replay.ts'

/** A lock of PostgreSQL that transactions take before they write events; any number that nothing else uses. */
const EVENT_LOCK = 7_300_001

/** The time of the server that has the database; `now()` would be the time when the transaction began. */
const NOW = sql`select (extract(epoch from clock_timestamp()) * 1000)::bigint as now`

interface Clock {
  now: number
}

/** Runs the store's methods, which are written for SQLite, on PostgreSQL: see `replay`. */
export function createEngine(pool: Pool): Engine {
  const client = replayClient as unknown as Database.Database
  const db = drizzle(client, { casing: 'snake_case' })
  const write: Engine['write'] = (work) =>
    pool.write((execute) => replay(work, { execute, isTransaction: true }))
  const read: Engine['read'] = (work) =>
    pool.read((execute) => replay(work, { execute, isTransaction: false }))
  return {
    client,
    db,
    read,
    readTogether: (work) => read(() => work(NaN)),
    write,
    once,
    steady: () => Number(db.get<Clock>(NOW).now),
    // A broker outlives a crash of its database, and a lease must, too.
    writeFleeting: write,
    orderEvents: () => void db.get(sql`select pg_advisory_xact_lock(${EVENT_LOCK})`),
    deleteSome: (table, where, limit) =>
      db.run(sql`delete from ${table} where ctid = any(array(
        select ctid from ${table} where ${where ?? sql`true`} limit ${limit}))`).changes,
    grams: {
      found: 'from listing_names where name like @phrase',
      n: 'n',
      phraseOf: (text) => `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`,
    },
  }
}
