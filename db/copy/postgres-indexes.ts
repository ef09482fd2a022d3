import type pg from 'pg'
import { MARKS } from './tables.ts'

/** Statements that drop an index or a constraint, and create it again. */
interface Definition {
  drop: string
  create: string
}

/** All but the primary keys, which find the place where a copy continues. Foreign keys come first: they need the others. */
const FIND = `
  select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
    format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as create
  from (select * from pg_constraint where contype in ('f', 'u')
    and connamespace = current_schema()::regnamespace order by contype, conname) as constraints
  union all
  select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
  from pg_index join pg_class on pg_class.oid = indexrelid
  where relnamespace = current_schema()::regnamespace
    and not exists (select from pg_constraint where conindid = indexrelid and conrelid = indrelid)`

/**
 * Drops the indexes of an empty database, because rows are written several times as fast without them. How to create
 * them is recorded in the same transaction, which the caller begins and commits.
 */
export async function dropIndexes(client: pg.Client): Promise<void> {
  if (await readDefinitions(client)) return
  const { rows } = await client.query<Definition>(FIND)
  await client.query('insert into meta (key, value) values ($1, $2)', [
    MARKS.indexes,
    JSON.stringify(rows),
  ])
  for (const { drop } of rows) await client.query(drop)
}

/** Creates what `dropIndexes` dropped, in the transaction of the caller. */
export async function createIndexes(client: pg.Client): Promise<void> {
  const definitions = (await readDefinitions(client)) ?? []
  for (const { create } of definitions.toReversed()) await client.query(create)
  await client.query('delete from meta where key = $1', [MARKS.indexes])
}

async function readDefinitions(client: pg.Client): Promise<Definition[] | undefined> {
  const text = 'select value from meta where key = $1'
  const { rows } = await client.query<{ value: string }>(text, [MARKS.indexes])
  return rows[0] && (JSON.parse(rows[0].value) as Definition[])
}
