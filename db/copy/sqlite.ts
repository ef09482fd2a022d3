import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { readMeta, stampDatabase } from '../data-directory/copy.ts'
import { replaceFile } from '../data-directory/files.ts'
import { openDatabase } from '../data-directory/open.ts'
import type { Migration } from '../data-directory/open.ts'
import { commitRestore, completeRestore } from '../data-directory/restore-complete.ts'
import { StoreOutdatedError, StoreTooNewError } from '../errors.ts'
import { PAGE_ROWS } from './side.ts'
import type { TableHash, TableReader, TableWriter } from './side.ts'
import { MARKS, formatRow, keyOf, selectPage } from './tables.ts'
import type { CopiedTable, Row } from './tables.ts'

interface Options {
  /** The data directory. */
  directory: string
  nativeBinding: string | undefined
  /** Every migration that this program knows. */
  migrations: Migration[]
}

/** The copy while it is written. What survives of it is in this file, and its mark in a file beside it. */
const COPYING = 'broker.db.copying'
const MARK = `${COPYING}.json`

/**
 * Opens the store of a data directory for reading, in one transaction: its file stays as it is.
 * @throws StoreTooNewError, StoreOutdatedError, SqliteError
 */
export function openSqliteReader({ directory, nativeBinding, migrations }: Options): TableReader {
  const file = join(directory, 'broker.db')
  const version = versionOf(file)
  const client = new Database(file, { readonly: true, fileMustExist: true, nativeBinding })
  try {
    client.exec('begin')
    checkMigrations(client, migrations)
  } catch (error) {
    client.close()
    throw error
  }
  return {
    name: directory,
    version,
    readMeta: async () => metaOf(client),
    pages: (table, after) => pages(client, table, after),
    hashOf: (table) => hash(client, table),
    lastIds: async () =>
      Object.fromEntries(
        client.prepare<[], [string, number]>('select name, seq from sqlite_sequence').raw().all(),
      ),
    setMoved: (moved) => stampDatabase(file, nativeBinding, { [MARKS.moved]: moved }),
    close: async () => void client.close(),
  }
}

/** Opens a copy in a data directory. It is in a file of its own until it is complete. */
export async function openSqliteWriter(options: Options): Promise<TableWriter> {
  const { directory, nativeBinding } = options
  const path = (name: string) => join(directory, name)
  let client: Database.Database | undefined
  const inserts = new Map<string, Database.Statement>()
  const open = async (): Promise<Database.Database> => {
    if (client) return client
    client = await openDatabase({ ...options, name: COPYING })
    // What a loss of power takes is copied again.
    client.pragma('synchronous = NORMAL')
    return client
  }
  const close = (): void => {
    client?.close()
    client = undefined
    inserts.clear()
  }

  return {
    name: directory,

    async readMeta() {
      const file = path('broker.db')
      const current = existsSync(file) ? readMeta(file, nativeBinding) : {}
      const isReplaceable = !existsSync(file) || (current[MARKS.moved] ?? '') !== ''
      if (!isReplaceable || !existsSync(path(COPYING)) || !existsSync(path(MARK))) return current
      return { ...metaOf(await open()), [MARKS.unfinished]: readFileSync(path(MARK), 'utf8') }
    },

    async clear() {
      close()
      for (const end of ['', '-wal', '-shm']) rmSync(path(COPYING + end), { force: true })
    },

    async setUnfinished(mark) {
      await open()
      replaceFile(path(MARK), mark)
    },

    async *pages(table, after) {
      yield* pages(await open(), table, after)
    },

    async lastKey(table) {
      const key = table.key.map((column) => `"${column}" desc`).join()
      const row = (await open())
        .prepare<[], Row>(
          `select ${table.selected.join()} from "${table.name}" where ${table.where} order by ${key} limit 1`,
        )
        .raw()
        .get()
      return row ? keyOf(table, row) : null
    },

    async append({ name, columns }, rows) {
      const client = await open()
      let insert = inserts.get(name)
      if (!insert) {
        const values = columns.map(() => '?').join()
        const text = `insert into "${name}" ("${columns.join('","')}") values (${values})`
        inserts.set(name, (insert = client.prepare(text)))
      }
      client.transaction(() => {
        for (const row of rows) insert.run(row)
      })()
    },

    hashOf: async (table) => hash(await open(), table),

    // The lists are derived by triggers, row by row.
    async derive(lastIds) {
      const client = await open()
      const remove = client.prepare('delete from sqlite_sequence where name = ?')
      const add = client.prepare('insert into sqlite_sequence (name, seq) values (?, ?)')
      client.transaction(() => {
        for (const [name, last] of Object.entries(lastIds)) {
          remove.run(name)
          add.run(name, last)
        }
      })()
    },

    async complete() {
      ;(await open()).pragma('wal_checkpoint(TRUNCATE)')
      close()
      commitRestore(directory, COPYING)
      completeRestore(directory)
      rmSync(path(MARK), { force: true })
    },

    close: async () => close(),
  }
}

function metaOf(client: Database.Database): Record<string, string> {
  const rows = client.prepare<[], [string, string]>('select key, value from meta').raw().all()
  return Object.fromEntries(rows)
}

function* pagesOf(client: Database.Database, table: CopiedTable, start: Row | null) {
  const read = (after: Row | null): Row[] => {
    const parameters = (after ?? []).map(() => '?')
    const text = `${selectPage(table, parameters)} limit ${PAGE_ROWS}`
    return client
      .prepare<Row, Row>(text)
      .raw()
      .all(...(after ?? []))
  }
  for (let after = start; ;) {
    const rows = read(after)
    const last = rows.at(-1)
    if (!last) return
    yield rows
    after = keyOf(table, last)
  }
}

async function* pages(client: Database.Database, table: CopiedTable, start: Row | null) {
  for (const rows of pagesOf(client, table, start)) {
    yield rows
    // The other side's answers arrive in between.
    await setImmediate()
  }
}

async function hash(client: Database.Database, table: CopiedTable): Promise<TableHash> {
  const digest = createHash('sha256')
  let count = 0
  for await (const rows of pages(client, table, null)) {
    count += rows.length
    digest.update(rows.map(formatRow).join(''))
  }
  return { rows: count, hash: digest.digest('hex') }
}

/** Size and time of the files that a write changes. */
function versionOf(file: string): string {
  const stats = [file, `${file}-wal`].map((path) =>
    statSync(path, { bigint: true, throwIfNoEntry: false }),
  )
  // Opening a store creates an empty log.
  return stats.map((stat) => (stat?.size ? `${stat.size}:${stat.mtimeNs}` : '')).join()
}

function checkMigrations(client: Database.Database, migrations: Migration[]): void {
  const tables = client.prepare("select 1 from sqlite_schema where name = '__drizzle_migrations'")
  const applied = tables.get()
    ? client.prepare('select created_at from __drizzle_migrations').pluck().all().map(Number)
    : []
  const known = migrations.map(({ folderMillis }) => folderMillis)
  if (!applied.every((at) => known.includes(at))) throw new StoreTooNewError(client.name)
  if (!known.every((at) => applied.includes(at))) throw new StoreOutdatedError(client.name)
}
