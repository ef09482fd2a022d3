import { is } from 'drizzle-orm'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { AssociatedData } from '../associated-data.ts'
import * as schema from './schema.ts'
import type { Sealed, SealedStore } from '../store.ts'
import type { Engine } from './engine.ts'
import type { SealedValues } from './sealed.ts'

/**
 * Lists and replaces all sealed values, column by column, each column in the order of its table's primary key.
 * The key of a value is its associated data.
 */
export function resealMethods(engine: Engine, sealedValues: SealedValues): SealedStore {
  const { client, read, write } = engine
  const columns = sealedColumns.map(({ table, key, column }) => ({
    table,
    column,
    list: client.prepare<[after: string, limit: number], { key: string; bytes: Uint8Array }>(
      `select t.${key} as key, s.bytes from ${table} t join sealed s on s.id = t.${column}
       where t.${key} > ? order by t.${key} limit ?`,
    ),
    find: client.prepare<[key: string, expected: Sealed], { id: number }>(
      `select s.id from ${table} t join sealed s on s.id = t.${column}
       where t.${key} = ? and s.bytes = ?`,
    ),
    setId: client.prepare<[id: number, key: string]>(
      `update ${table} set ${column} = ? where ${key} = ?`,
    ),
  }))

  /** Replaces a value, in place if the new one has its length. */
  const replace = ({ key, expected, sealed }: Parameters<SealedStore['reseal']>[0][number]) => {
    const position = parseKey(key)
    const column = columns[indexOf(position)]
    const found = column?.find.get(position.key, expected)
    if (!column || !found) return false
    const id = sealedValues.replace(found.id, sealed)
    if (id !== found.id) column.setId.run(id, position.key)
    return true
  }

  const indexOf = ({ table, column }: Position): number =>
    columns.findIndex((one) => one.table === table && one.column === column)

  return {
    listSealed: ({ after, limit }) =>
      read(() => {
        const position = after === null ? null : parseKey(after)
        let key = position?.key ?? ''
        for (const { table, column, list } of columns.slice(position ? indexOf(position) : 0)) {
          const rows = list.all(key, limit)
          if (rows.length > 0) {
            return rows.map(({ key, bytes }) => {
              const associatedData: AssociatedData = `${table}/${key}/${column}`
              return { key: associatedData, associatedData, sealed: bytes }
            })
          }
          key = ''
        }
        return []
      }),

    reseal: (values) => write(() => values.filter(replace).length),
  }
}

/** Where a sealed value is. */
interface Position {
  table: string
  key: string
  column: string
}

function parseKey(key: string): Position {
  const [first, last] = [key.indexOf('/'), key.lastIndexOf('/')]
  return {
    table: key.slice(0, first),
    key: key.slice(first + 1, last),
    column: key.slice(last + 1),
  }
}

/** A column that holds sealed values, by its names in SQL. */
interface SealedColumn {
  table: string
  /** The primary key of the table. */
  key: string
  column: string
}

/**
 * Every column that refers to the table `sealed`, derived from the schema, so that no new one is forgotten.
 * The associated data of its values is `table/primary key/column` (db/associated-data.ts).
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

/** The name of a schema's column in SQL. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function nameOf({ table, column }: SealedColumn): string {
  return `${table}/${column}`
}
