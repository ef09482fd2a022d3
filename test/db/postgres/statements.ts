import type { PostgresStatement } from '../../../db/postgres/statement.ts'

/** A statement without parameters. */
export const statement = (text: string): PostgresStatement => ({ text, values: [], name: '' })

/** A statement that fails with a SQLSTATE. */
export const fail = (code: string): PostgresStatement =>
  statement(`do $$ begin raise sqlstate '${code}'; end $$`)

/** A statement that fails as if another transaction had been first. */
export const collide = fail('40001')
