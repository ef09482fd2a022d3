import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { createFile, syncDirectoryOf, syncFile } from './files.ts'
import { COMMAND_SINK_ID } from '../event-types.ts'
import { emptyLog } from '../sqlite/checkpoint.ts'
import { KeptCopyError } from '../errors.ts'
import type { App } from '../model.ts'
import { retryBusy } from '../sqlite/engine.ts'

/** Copies of each kind that are kept. */
const MAX_COPIES = 2

/**
 * Copies a database as of one moment, while others write; nobody waits for it. Deleted data is not copied, and
 * the copy has no log file.
 * @param to an empty file with the permissions that the copy is to have
 * @param stamp entries that are added to the copy's `meta`
 */
export async function copyDatabase(
  from: string,
  to: string,
  nativeBinding: string | undefined,
  stamp: Record<string, string> = {},
): Promise<void> {
  const source = open(from, nativeBinding)
  try {
    // The copy of an older version's store can return free pages, too. In other stores, this would take a lock.
    const isOlder = source.pragma('auto_vacuum', { simple: true }) === 0
    if (isOlder) source.pragma('auto_vacuum = INCREMENTAL')
    await retryBusy(() => source.prepare('vacuum into ?').run(to))
  } finally {
    emptyLog(source)
    source.close()
  }
  await stampDatabase(to, nativeBinding, stamp)
  syncFile(to)
}

/** Adds entries to the `meta` of a database, or replaces them. @throws SqliteError */
export async function stampDatabase(
  path: string,
  nativeBinding: string | undefined,
  entries: Record<string, string>,
): Promise<void> {
  const client = open(path, nativeBinding)
  try {
    client.pragma('synchronous = FULL')
    const put = client.prepare('insert or replace into meta (key, value) values (?, ?)')
    const putAll = client.transaction(() => {
      for (const entry of Object.entries(entries)) put.run(...entry)
    })
    await retryBusy(() => putAll.immediate())
  } finally {
    client.close()
  }
}

/** What is in a database file. */
export interface Inspected {
  /** Problems that SQLite finds; empty: none. */
  problems: string[]
  /** Times of the migrations that were applied. Empty: it is not a database of this program. */
  migrations: number[]
  meta: Record<string, string>
  /** Unrevoked connections. */
  connections: number
}

/** Checks a whole database file. @throws SqliteError if it is no database */
export function inspectDatabase(path: string, nativeBinding: string | undefined): Inspected {
  const client = open(path, nativeBinding)
  try {
    const list = (sql: string) => client.prepare(sql).pluck().all()
    const problems = list('pragma integrity_check(20)').map(String)
    const tables = list("select name from sqlite_schema where type = 'table'")
    const isOurs = ['__drizzle_migrations', 'meta', 'connections'].every((name) =>
      tables.includes(name),
    )
    const found = { problems: problems.filter((text) => text !== 'ok') }
    if (!isOurs) return { ...found, migrations: [], meta: {}, connections: 0 }
    const meta = client.prepare<[], [string, string]>('select key, value from meta').raw().all()
    const [connections] = list("select count(*) from connections where status <> 'revoked'")
    return {
      ...found,
      migrations: list('select created_at from __drizzle_migrations').map(Number),
      meta: Object.fromEntries(meta),
      connections: Number(connections),
    }
  } finally {
    emptyLog(client)
    client.close()
  }
}

/** How long a healthy writer may hold the write lock. */
const LOCK_TIMEOUT_MS = 1000

/** Does another process hold the database's write lock for more than a second? */
export async function isLocked(path: string, nativeBinding: string | undefined): Promise<boolean> {
  const client = open(path, nativeBinding)
  try {
    await retryBusy(() => client.exec('begin immediate'), LOCK_TIMEOUT_MS)
    client.exec('rollback')
    return false
  } catch (error) {
    return String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')
  } finally {
    client.close()
  }
}

/** Reads a database's `meta`, without checking the file. @throws SqliteError if it is no database */
export function readMeta(path: string, nativeBinding: string | undefined): Record<string, string> {
  const client = open(path, nativeBinding)
  try {
    const hasMeta = client.prepare("select 1 from sqlite_schema where name = 'meta'").get()
    if (hasMeta === undefined) return {}
    const meta = client.prepare<[], [string, string]>('select key, value from meta').raw().all()
    return Object.fromEntries(meta)
  } finally {
    client.close()
  }
}

/** The e-mail addresses of admins with a password, and whether each has a second factor or a passkey. @throws SqliteError if it is no store */
export function readSecondFactors(
  path: string,
  nativeBinding: string | undefined,
): { email: string; hasSecondFactor: boolean }[] {
  const client = open(path, nativeBinding)
  try {
    // A store of an older version has no passkeys.
    const hasTable = client.prepare("select 1 from sqlite_schema where name = 'passkeys'").get()
    const owners = hasTable === undefined ? 'select null' : 'select admin_id from passkeys'
    const rows = client
      .prepare<[], [string, number]>(
        `select email, second_factor_since is not null or id in (${owners}) is true
         from admins where password_hash <> '' order by email`,
      )
      .raw()
      .all()
    return rows.map(([email, has]) => ({ email, hasSecondFactor: has === 1 }))
  } finally {
    client.close()
  }
}

/** Apps with sessions, and their origins. @throws SqliteError if it is no store */
export function readSessionApps(
  path: string,
  nativeBinding: string | undefined,
): Pick<App, 'id' | 'session' | 'origins'>[] {
  const client = open(path, nativeBinding)
  try {
    // A store of an older version has no such apps.
    const column = "select 1 from pragma_table_info('apps') where name = 'session'"
    if (client.prepare(column).get() === undefined) return []
    const rows = client
      .prepare<[], [string, string]>("select id, origins from apps where session = 'cookie'")
      .raw()
      .all()
    return rows.map(([id, origins]) => {
      return { id, session: 'cookie', origins: JSON.parse(origins) as string[] }
    })
  } finally {
    client.close()
  }
}

/** Who gets events, and what is pending. */
export interface StoredSink {
  id: string
  /** `null`: it is no webhook. */
  url: string | null
  /** `null`: it is enabled. */
  disabledReason: string | null
  pending: number
  oldestPendingAt: number | null
  /** Of the oldest pending delivery. */
  lastError: string | null
}

/** The webhooks, and other sinks with pending deliveries. @throws SqliteError if it is no store */
export function readSinks(path: string, nativeBinding: string | undefined): StoredSink[] {
  const client = open(path, nativeBinding)
  try {
    // A store of an older version has none.
    const hasTable = client.prepare("select 1 from sqlite_schema where name = 'webhooks'").get()
    if (hasTable === undefined) return []
    return client
      .prepare<[], StoredSink>(
        `with waiting as (select sink_id, count(*) as pending, min(id) as first
           from deliveries where status = 'pending' group by sink_id)
         select coalesce(webhooks.id, waiting.sink_id) as id, url, disabled_reason as disabledReason,
           coalesce(pending, 0) as pending, deliveries.created_at as oldestPendingAt,
           error as lastError
         from webhooks full join waiting on waiting.sink_id = webhooks.id
         left join deliveries on deliveries.id = first
         where webhooks.id is not null or waiting.sink_id = '${COMMAND_SINK_ID}' order by 1`,
      )
      .all()
  } finally {
    client.close()
  }
}

/**
 * Keeps a copy of a store as it was before a change, and deletes older copies.
 * @returns the file
 * @throws KeptCopyError
 */
export async function keepCopy(
  before: 'upgrade' | 'client-change',
  directory: string,
  nativeBinding: string | undefined,
): Promise<string> {
  const prefix = `broker.db.before-${before}-`
  const at = new Date().toISOString()
  const to = join(directory, prefix + at.replaceAll(':', '-'))
  const kept = () => readdirSync(directory).filter((name) => name.startsWith(prefix))
  const remove = (name: string) => rmSync(join(directory, name), { force: true })
  for (const name of kept()) if (name.endsWith('.part')) remove(name)
  try {
    createFile(`${to}.part`)
    await copyDatabase(join(directory, 'broker.db'), `${to}.part`, nativeBinding, { backup_at: at })
    renameSync(`${to}.part`, to)
  } catch (error) {
    rmSync(`${to}.part`, { force: true })
    throw new KeptCopyError(to, { cause: error })
  }
  syncDirectoryOf(to)
  for (const name of kept().sort().slice(0, -MAX_COPIES)) remove(name)
  return to
}

/** @throws Error with the code ENOENT if there is no such file: none is created */
function open(path: string, nativeBinding: string | undefined): Database.Database {
  if (!existsSync(path)) throw Object.assign(new Error(`${path} is not there`), { code: 'ENOENT' })
  const client = new Database(path, { fileMustExist: true, timeout: 10, nativeBinding })
  client.pragma('checkpoint_fullfsync = ON')
  return client
}
