import type Database from 'better-sqlite3'

/** The columns that a table has in the restored store, `main`, or in the one that it replaces, `old`. */
export const columnsOf = (
  client: Database.Database,
  store: 'main' | 'old',
  table: string,
): string[] =>
  client.prepare('select name from pragma_table_info(?, ?)').pluck().all(table, store) as string[]

/** Rows that both stores have get these columns as they are in `old`; it may be too old to have them all. */
export function takeOver(client: Database.Database, table: string, columns: string[]): void {
  const known = columnsOf(client, 'old', table)
  const both = columns.filter((name) => known.includes(name))
  client.exec(`update main.${table} as new set (${both.join(', ')}) =
    (select ${both.map((name) => `o.${name}`).join(', ')} from old.${table} o where o.id = new.id)
    where id in (select id from old.${table})`)
}
