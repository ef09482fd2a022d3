import type Database from 'better-sqlite3'
import { sealedColumns } from '../sql/reseal.ts'

/** Overwrites the sealed values of rows, and frees them; the columns still refer to them. */
export function erase(client: Database.Database, table: string, where: string): void {
  for (const { column } of sealedColumns.filter((one) => one.table === table)) {
    client.exec(`update sealed set free = 1, bytes = zeroblob(size) where id in (
      select ${column} from ${table} where ${column} is not null and (${where}))`)
  }
}

/** Copies columns from `old` to the rows that both stores have. One of the stores may lack a column. */
export function copyColumns(
  client: Database.Database,
  table: string,
  isCopied: (column: string) => boolean = () => true,
): void {
  const known = columnsOf(client, 'old', table)
  const both = columnsOf(client, 'main', table).filter(
    (name) => known.includes(name) && isCopied(name),
  )
  client.exec(`update main.${table} as new set (${both.join(', ')}) =
    (select ${both.map((name) => `o.${name}`).join(', ')} from old.${table} o where o.id = new.id)
    where id in (select id from old.${table})`)
}

const columnsOf = (client: Database.Database, store: 'main' | 'old', table: string): string[] =>
  client
    .prepare<[string, string], string>('select name from pragma_table_info(?, ?)')
    .pluck()
    .all(table, store)
