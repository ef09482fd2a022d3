import { is, SQL } from 'drizzle-orm'
import {
  getTableConfig,
  SQLiteSyncDialect,
  SQLiteTable,
  type SQLiteColumn,
} from 'drizzle-orm/sqlite-core'
import t from 'tap'
import * as schema from '../../../db/sql/schema.ts'
import { createDatabase, noPostgres, query } from '../../postgres.ts'
import { openAt } from './temporary.ts'

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const nameOf = (column: SQLiteColumn) => snakeCase(column.name)
const dialect = new SQLiteSyncDialect({ casing: 'snake_case' })
const TYPES: Record<string, string> = { text: 'text', integer: 'bigint', blob: 'bytea' }

/** A text of SQL without what the engines write in different ways. */
const plain = (sql: string) =>
  sql
    .replaceAll(/::(text|bigint)(\[\])?|"\w+"\.|["()[\]\s]/g, '')
    .replaceAll(/<>allarray|notin/gi, ' not in ')
    .replaceAll(/=anyarray|in(?=')/gi, ' in ')
    .toLowerCase()

/** As PostgreSQL writes it; `null`: none. */
function defaultOf({ default: value }: SQLiteColumn): string | null {
  if (value === undefined || value === null) return null
  if (is(value, SQL)) return plain(dialect.sqlToQuery(value).sql)
  if (typeof value === 'object') return `'${JSON.stringify(value)}'`.replaceAll(/[[\]]/g, '')
  return typeof value === 'string' ? plain(`'${value}'`) : String(Number(value))
}

function columnsOf(table: SQLiteTable) {
  const { columns, primaryKeys } = getTableConfig(table)
  const keys = primaryKeys.flatMap((key) => key.columns)
  return columns.map((column) => ({
    name: nameOf(column),
    type: TYPES[column.getSQLType()],
    required: column.notNull || column.primary || keys.includes(column),
    default: defaultOf(column),
  }))
}

interface Index {
  name: string
  columns: string[]
  unique: boolean
  where: string | null
}

/** Those that have no name of their own in PostgreSQL are named after their columns. */
function indexesOf(table: SQLiteTable): Index[] {
  const { columns, indexes, primaryKeys } = getTableConfig(table)
  const single = columns.flatMap((column): Index[] => {
    const index = { columns: [nameOf(column)], unique: true, where: null }
    if (column.primary) return [{ ...index, name: 'primary' }]
    return column.isUnique ? [{ ...index, name: 'unique' }] : []
  })
  const keys = primaryKeys.map((key) => ({
    ...{ name: 'primary', unique: true, where: null },
    columns: key.columns.map((column) => nameOf(column)),
  }))
  const named = indexes.map(({ config }) => ({
    name: config.name,
    unique: config.unique,
    columns: config.columns.map((column) => nameOf(column as SQLiteColumn)),
    where: config.where ? plain(dialect.sqlToQuery(config.where).sql) : null,
  }))
  return [...single, ...keys, ...named]
}

const referencesOf = (table: SQLiteTable): string[] =>
  getTableConfig(table).foreignKeys.map((key) => {
    const { columns, foreignTable } = key.reference()
    const names = columns.map((column) => nameOf(column))
    return `${names.join()} ${getTableConfig(foreignTable).name} ${key.onDelete ?? 'no action'}`
  })

t.test('the tables of PostgreSQL are those of the schema', { skip: noPostgres }, async (t) => {
  const url = await createDatabase(t)
  await (await openAt(url)).close()
  const rows = <T>(sql: string) => query(url, sql) as Promise<T[]>
  const tables = Object.values(schema).filter((table) => is(table, SQLiteTable))
  const names = tables.map((table) => getTableConfig(table).name)

  const made = await rows<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename not like 'listing%'
     and tablename not in ('migrations', 'writers')`,
  )
  t.strictSame(made.map(({ name }) => name).sort(), names.sort())

  const others = await rows(
    `select table_name, column_name from information_schema.columns
     where table_schema = 'public' and table_name <> 'migrations' and data_type = 'text'
       and collation_name is distinct from 'C'`,
  )
  t.strictSame(others, [], 'texts are compared byte by byte')

  for (const table of tables) {
    const { name } = getTableConfig(table)
    const columns = await rows<{ default: string | null }>(
      `select column_name as name, data_type as type, is_nullable = 'NO' as required, column_default as default
       from information_schema.columns where table_schema = 'public' and table_name = '${name}'
       order by ordinal_position`,
    )
    const found = columns.map((column) => ({
      ...column,
      default: column.default === null ? null : plain(column.default),
    }))
    t.same(found, columnsOf(table), name)

    const indexes = await rows<Index>(
      `select case when indisprimary then 'primary' when conname is not null then 'unique'
           else relname end as name,
         array(select attname::text from unnest(indkey::int[]) with ordinality as keys (key, n)
           join pg_attribute on attrelid = indrelid and attnum = key order by n) as columns,
         indisunique as unique, pg_get_expr(indpred, indrelid) as where
       from pg_index join pg_class on pg_class.oid = indexrelid
       left join pg_constraint on conindid = indexrelid and contype = 'u'
       where indrelid = '"${name}"'::regclass`,
    )
    const sort = (list: Index[]) =>
      list.map((index) => JSON.stringify(index, ['name', 'columns', 'unique', 'where'])).sort()
    const written = indexes.map((index) => ({
      ...index,
      where: index.where === null ? null : plain(index.where),
    }))
    // PostgreSQL's migration says why.
    const expected = indexesOf(table).filter((index) => index.name !== 'sealed_free')
    t.strictSame(sort(written), sort(expected), `indexes of ${name}`)

    const references = await rows<{ reference: string }>(
      `select attname || ' ' || confrelid::regclass || ' ' ||
         case confdeltype when 'c' then 'cascade' else 'no action' end as reference
       from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
       where contype = 'f' and conrelid = '"${name}"'::regclass`,
    )
    t.strictSame(
      references.map(({ reference }) => reference).sort(),
      referencesOf(table)
        .filter((reference) => !reference.includes(' sealed '))
        .sort(),
      `references of ${name}`,
    )
  }
})
