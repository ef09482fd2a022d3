import { is } from 'drizzle-orm'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import * as schema from './schema.ts'

/** A column that holds sealed values, by its names in SQL. */
export interface SealedColumn {
  table: string
  /** The primary key, whose value is the middle of a value's place. */
  key: string
  column: string
}

/**
 * Every column that refers to the table `sealed`, from the schema itself, so that a new one can't be
 * forgotten. What is in it is sealed for the place `table/primary key/column`.
 */
export const sealedColumns: readonly SealedColumn[] = Object.values(schema)
  .filter((table) => is(table, SQLiteTable))
  .flatMap((table) => columnsOf(table))
  .sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1))

function columnsOf(table: SQLiteTable): SealedColumn[] {
  const { name, columns, foreignKeys } = getTableConfig(table)
  const key = columns.find(({ primary }) => primary)
  if (!key) return []
  return foreignKeys
    .map((foreignKey) => foreignKey.reference())
    .filter(({ foreignTable }) => foreignTable === schema.sealed)
    .flatMap(({ columns }) => columns)
    .map((column) => ({ table: name, key: snakeCase(key.name), column: snakeCase(column.name) }))
}

/** As the schema's columns are named in SQL. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function nameOf({ table, column }: SealedColumn): string {
  return `${table}/${column}`
}
