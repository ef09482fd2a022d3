import { is } from 'drizzle-orm'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import { snakeCase } from '../sql/reseal.ts'
import * as schema from '../sql/schema.ts'

/** A value of a row, as both engines have it. */
export type Value = number | string | Uint8Array | null
export type Row = Value[]

/** A table that a copy of the store has: its rows are the same in both engines. */
export interface CopiedTable {
  name: string
  columns: string[]
  /** What is read for each column. */
  selected: string[]
  /** The columns of the primary key. */
  key: string[]
  /** Does the database choose its ids? `increasing`: it never chooses one twice. */
  identity: 'increasing' | 'any' | null
  /** A condition of its rows; `true`: all of them. */
  where: string
}

/** Entries of `meta` that say which of two stores is served, and what an unfinished copy lacks. They are not copied. */
export const MARKS = {
  unfinished: 'copy_unfinished',
  moved: 'copy_moved',
  indexes: 'copy_indexes',
} as const

const isMark = `key in ('${Object.values(MARKS).join("', '")}')`

/** Nobody holds a lease of a store that no process serves. The next owner would note what the former one left. */
const withoutLeases: Record<string, string> = {
  lease_owner: 'null',
  lease_until: 'null',
  stale_reason: `case when lease_owner is null then stale_reason else 'answer_lost' end`,
}

/**
 * All tables of the schema: a table comes after those that it refers to. What triggers derive from them (`listing…`)
 * is not in it, as each engine has its own.
 */
export const copiedTables: readonly CopiedTable[] = sortByReference(
  Object.values(schema).filter((table) => is(table, SQLiteTable)),
).map(describe)

function describe(table: SQLiteTable): CopiedTable {
  const { name, columns, primaryKeys } = getTableConfig(table)
  const names = columns.map((column) => snakeCase(column.name))
  const keys = primaryKeys[0]?.columns ?? columns.filter(({ primary }) => primary)
  return {
    name,
    columns: names,
    selected: names.map((column) => withoutLeases[column] ?? `"${column}"`),
    key: keys.map((column) => snakeCase(column.name)),
    identity: columns.some((column) => 'autoIncrement' in column && column.autoIncrement)
      ? 'increasing'
      : table === schema.sealed
        ? 'any'
        : null,
    where: name === 'meta' ? `not ${isMark}` : 'true',
  }
}

function sortByReference(tables: SQLiteTable[]): SQLiteTable[] {
  const sorted = new Set<SQLiteTable>()
  const add = (table: SQLiteTable): void => {
    for (const key of getTableConfig(table).foreignKeys) add(key.reference().foreignTable)
    sorted.add(table)
  }
  tables.forEach(add)
  return [...sorted]
}

/** A statement that reads rows in the order of the primary key, from the first one or after a key. */
export function selectPage(table: CopiedTable, parameters: string[]): string {
  const key = table.key.map((column) => `"${column}"`).join()
  const after = parameters.length > 0 ? ` and (${key}) > (${parameters.join()})` : ''
  return `select ${table.selected.join()} from "${table.name}" where ${table.where}${after} order by ${key}`
}

/** The primary key of a row. */
export const keyOf = ({ columns, key }: CopiedTable, row: Row): Row =>
  key.map((column) => row[columns.indexOf(column)] ?? null)

/**
 * A row as PostgreSQL's `copy` writes and reads it as text, with its line feed. It is the canonical form of which
 * both engines compute the hash of a table.
 */
export const formatRow = (row: Row): string => `${row.map(formatValue).join('\t')}\n`

function formatValue(value: Value): string {
  if (value === null) return '\\N'
  if (typeof value === 'number') return String(value)
  if (typeof value !== 'string')
    return `\\\\x${Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')}`
  return SPECIAL.test(value) ? value.replace(SPECIALS, (char) => ESCAPES[char] ?? '') : value
}

// Exactly the characters that `copy` escapes.
const SPECIAL = /[\\\b\f\n\r\t\v\0]/
const SPECIALS = new RegExp(SPECIAL, 'g')
const ESCAPES: Record<string, string> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  // PostgreSQL's texts have none: see db/postgres/statement.ts.
  '\0': '\u{fffd}',
}
